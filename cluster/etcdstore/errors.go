package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fleettop/cluster"
)

// wrap turns an error of the etcd client into one of the contract's. The
// caller's own cancellation stays what it is; running out of time means that
// the store did not answer, for the reason that is known.
func (s *Store) wrap(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case Refusal(err) != nil:
		return fmt.Errorf("etcd: %w", Refusal(err))
	case ctx.Err() == nil && !unreachable(err):
		return fmt.Errorf("etcd: %w", err)
	}
	if known := s.trouble(); known != nil {
		return fmt.Errorf("etcd: %w", known)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("etcd: %w: %w", cluster.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("etcd: %w: %v", cluster.ErrUnavailable, err)
}

// Refusal returns a *cluster.UnusableError if an error of the etcd client says
// that etcd knows who asks and doesn't let them, and nil otherwise.
func Refusal(err error) error {
	if err == nil {
		return nil
	}
	for _, e := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed,
		rpctypes.ErrPermissionNotGranted, rpctypes.ErrInvalidAuthToken, rpctypes.ErrRoleNotGranted,
		rpctypes.ErrUserNotFound} {
		if errors.Is(err, e) || rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(e) {
			why := strings.TrimPrefix(rpctypes.ErrorDesc(err), "etcdserver: ")
			return &cluster.UnusableError{Cause: "etcd refuses this daemon: " + why, Advice: "give, with --etcd-cert and " +
				"--etcd-key, the certificate of an etcd user who may read and write below --etcd-prefix"}
		}
	}
	return nil
}

// unreachable reports whether an error means that etcd, or its quorum, can't be reached.
func unreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, clientv3.ErrNoAvailableEndpoints) ||
		rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner) {
		return true
	}
	code := status.Code(err)
	if e := (rpctypes.EtcdError{}); errors.As(err, &e) {
		code = e.Code()
	}
	// Canceled without the caller cancelling: the client or its connection was closed.
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
