package etcdserver

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestUsualMessages: what every etcd says as it starts and ends is for those who look for it; the same words for another
// reason are for everybody.
func TestUsualMessages(t *testing.T) {
	var out strings.Builder
	log := newZap(slog.New(slog.NewTextHandler(&out, nil)), nil)
	log.Warn("simple token is not cryptographically signed")
	log.Error("failed to update storage version", zap.Error(errors.New("cannot detect storage schema version: missing term information")))
	log.Error("setting up serving from embedded etcd failed.", zap.Error(errors.New("http: Server closed")))
	if out.Len() > 0 {
		t.Errorf("at its start and end an etcd says %s", out.String())
	}
	log = newZap(slog.New(slog.NewTextHandler(&out, nil)), nil)
	log.Error("setting up serving from embedded etcd failed.", zap.Error(errors.New("no space left on device")))
	if !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "no space left") {
		t.Errorf("a fault is told as %q", out.String())
	}
}
