package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
)

var statusOf = map[api.Code]int{
	api.CodeInvalid:     http.StatusBadRequest,
	api.CodeForbidden:   http.StatusForbidden,
	api.CodeNotFound:    http.StatusNotFound,
	api.CodeMethod:      http.StatusMethodNotAllowed,
	api.CodeConflict:    http.StatusConflict,
	api.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	api.CodeContentType: http.StatusUnsupportedMediaType,
	api.CodeInternal:    http.StatusInternalServerError,
	api.CodeUnavailable: http.StatusServiceUnavailable,
}

const hintStore = "nothing was changed; units keep running; try again when the store has its quorum back"

// asError turns what a store or a view returned into an Error: a sentence for
// people, without the words of the code that it went through.
func asError(err error) *api.Error {
	var e *api.Error
	var unusable *cluster.UnusableError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &unusable): // waiting for it doesn't help
		return api.Refuse(api.CodeUnavailable, unusable.Advice+"; nothing was changed, units keep running", "%v", unusable)
	case errors.Is(err, view.ErrBehind):
		return api.Refuse(api.CodeUnavailable, "try again", "%v", err)
	case errors.Is(err, view.ErrNotReady):
		return api.Refuse(api.CodeUnavailable, hintStore,
			"this daemon has not reached the cluster's store yet%s", storeCause(err))
	case errors.Is(err, view.ErrLost), errors.Is(err, cluster.ErrUnavailable):
		return api.Refuse(api.CodeUnavailable, hintStore, "the cluster's store can't be reached%s", storeCause(err))
	case errors.Is(err, cluster.ErrNotFound):
		return api.Refuse(api.CodeNotFound, "see what there is now", "it was removed by another at the same time")
	case errors.Is(err, cluster.ErrConflict), errors.Is(err, cluster.ErrExists):
		return api.Refuse(api.CodeConflict, "see what it is now and try again", "it was changed by another at the same time")
	case errors.Is(err, context.Canceled):
		return api.Refuse(api.CodeUnavailable, "see what it is now and try again", "the request ended before it was answered")
	}
	return api.Refuse(api.CodeInternal, "the daemon's log (`journalctl -u fleettop`) may say more", "%v", err)
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
