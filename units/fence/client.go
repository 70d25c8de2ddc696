package fence

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// ErrDown means that no fence stands: there is none, or it ended.
var ErrDown = errors.New("the fence is down")

// Extend moves the deadline of the fence in a directory on, to a time by Now,
// and returns the fence's ID. A deadline that is later already stays.
func Extend(ctx context.Context, dir string, until time.Duration) (id string, err error) {
	return call(ctx, dir, fmt.Sprintf("extend %d", until.Nanoseconds()))
}

// Limit brings the deadline forward, to a time by Now, unless it is sooner already.
func Limit(ctx context.Context, dir string, until time.Duration) (id string, err error) {
	return call(ctx, dir, fmt.Sprintf("limit %d", until.Nanoseconds()))
}

// Lower ends the fence without failing, which stops no unit that isn't bound to it.
func Lower(ctx context.Context, dir string) error {
	_, err := call(ctx, dir, "lower")
	return err
}

func call(ctx context.Context, dir, request string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, socketFile))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDown, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := fmt.Fprintln(conn, request); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDown, err)
	}
	id, err = readLine(conn)
	if err != nil || id == "" {
		return "", ErrDown
	}
	return id, nil
}
