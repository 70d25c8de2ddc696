package etcdserver

import (
	"os"
	"testing"

	"fleettop/cluster/internal/leak"
)

func TestMain(m *testing.M) {
	if job, ok := os.LookupEnv(crashEnv); ok {
		os.Exit(crashChild(job))
	}
	leak.Main(m, []string{"etcdserver", "embed."}, nil)
}
