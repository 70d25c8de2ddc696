package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
)

// TestStoreErrorsAreSentences: what a person reads has none of the words of
// the code that an error went through.
func TestStoreErrorsAreSentences(t *testing.T) {
	etcd := func(cause string) error {
		return fmt.Errorf("write units: %w", fmt.Errorf("etcd: %w: %v", cluster.ErrUnavailable, cause))
	}
	for _, tc := range []struct {
		err  error
		code api.Code
		want string
	}{
		{etcd("context deadline exceeded"), api.CodeUnavailable, "the cluster's store can't be reached: it doesn't answer in time"},
		{etcd("rpc error: code = Unavailable desc = connection refused"), api.CodeUnavailable, "the cluster's store can't be reached: connection refused"},
		{cluster.ErrUnavailable, api.CodeUnavailable, "the cluster's store can't be reached"},
		{errors.Join(view.ErrNotReady, etcd("no such host")), api.CodeUnavailable, "this daemon has not reached the cluster's store yet: no such host"},
		{view.ErrNotReady, api.CodeUnavailable, "this daemon has not reached the cluster's store yet"},
		{fmt.Errorf("write machine 1234: %w", cluster.ErrNotFound), api.CodeNotFound, "it was removed by another at the same time"},
		{fmt.Errorf("write a.service: %w", cluster.ErrConflict), api.CodeConflict, "it was changed by another at the same time"},
		{fmt.Errorf("etcd: %w", context.Canceled), api.CodeUnavailable, "the request ended before it was answered"},
	} {
		if e := asError(tc.err); e.Code != tc.code || e.Message != tc.want || e.Hint == "" || strings.Contains(e.Error(), "\n") {
			t.Errorf("%v became %+v, want %q", tc.err, e, tc.want)
		}
	}
}
