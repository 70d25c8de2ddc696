package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/view"
)

// Code classes an Error.
type Code string

// Codes, and the HTTP status each is answered with.
const (
	CodeInvalid     Code = "invalid"            // 400
	CodeForbidden   Code = "forbidden"          // 403
	CodeNotFound    Code = "not_found"          // 404
	CodeMethod      Code = "method_not_allowed" // 405
	CodeConflict    Code = "conflict"           // 409
	CodeTooLarge    Code = "too_large"          // 413
	CodeContentType Code = "unsupported_media"  // 415
	CodeInternal    Code = "internal"           // 500
	CodeUnavailable Code = "unavailable"        // 503
)

var statusOf = map[Code]int{
	CodeInvalid:     http.StatusBadRequest,
	CodeForbidden:   http.StatusForbidden,
	CodeNotFound:    http.StatusNotFound,
	CodeMethod:      http.StatusMethodNotAllowed,
	CodeConflict:    http.StatusConflict,
	CodeTooLarge:    http.StatusRequestEntityTooLarge,
	CodeContentType: http.StatusUnsupportedMediaType,
	CodeInternal:    http.StatusInternalServerError,
	CodeUnavailable: http.StatusServiceUnavailable,
}

// Error is a refusal: what is wrong, and what to do.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

// Refuse makes an Error.
func Refuse(code Code, hint, format string, args ...any) *Error {
	return refuse(code, hint, format, args...)
}

func refuse(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

const hintStore = "nothing was changed; units keep running; try again when the store has its quorum back"

// asError turns what a store or a view returned into an Error: a sentence for
// people, without the words of the code that it went through.
func asError(err error) *Error {
	var e *Error
	var unusable *cluster.UnusableError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &unusable): // waiting for it doesn't help
		return refuse(CodeUnavailable, unusable.Advice+"; nothing was changed, units keep running", "%v", unusable)
	case errors.Is(err, view.ErrBehind):
		return refuse(CodeUnavailable, "try again", "%v", err)
	case errors.Is(err, view.ErrNotReady):
		return refuse(CodeUnavailable, hintStore,
			"this daemon has not reached the cluster's store yet%s", storeCause(err))
	case errors.Is(err, view.ErrLost), errors.Is(err, cluster.ErrUnavailable):
		return refuse(CodeUnavailable, hintStore, "the cluster's store can't be reached%s", storeCause(err))
	case errors.Is(err, cluster.ErrNotFound):
		return refuse(CodeNotFound, "see what there is now", "it was removed by another at the same time")
	case errors.Is(err, cluster.ErrConflict), errors.Is(err, cluster.ErrExists):
		return refuse(CodeConflict, "see what it is now and try again", "it was changed by another at the same time")
	case errors.Is(err, context.Canceled):
		return refuse(CodeUnavailable, "see what it is now and try again", "the request ended before it was answered")
	}
	return refuse(CodeInternal, "the daemon's log (`journalctl -u fleettop`) may say more", "%v", err)
}

// storeCause is why a store can't be reached, as far as a person can use it.
func storeCause(err error) string {
	_, cause, found := strings.Cut(err.Error(), cluster.ErrUnavailable.Error()+": ")
	if _, desc, isRPC := strings.Cut(cause, "desc = "); isRPC {
		cause = desc
	}
	cause, _, _ = strings.Cut(cause, "\n")
	switch {
	case !found || cause == "":
		return ""
	case strings.Contains(cause, "deadline exceeded"), strings.Contains(cause, "timed out"):
		return ": it doesn't answer in time"
	}
	return ": " + cause
}
