package etcdserver

import (
	"testing"

	"fleettop/cluster/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m, []string{"etcdserver", "embed."}, nil) }
