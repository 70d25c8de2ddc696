package api

import "fmt"

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
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}
