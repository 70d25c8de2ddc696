package etcdstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fleettop/cluster"
)

// wrap turns an error of the etcd client into one of the contract's. The
// caller's own cancellation stays what it is; running out of time means that
// the store did not answer.
func wrap(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("etcd: %w: %w", cluster.ErrUnavailable, ctx.Err())
	case unreachable(err):
		return fmt.Errorf("etcd: %w: %v", cluster.ErrUnavailable, err)
	}
	return fmt.Errorf("etcd: %w", err)
}

// unreachable tells whether an error means that etcd, or its quorum, can't be reached.
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
