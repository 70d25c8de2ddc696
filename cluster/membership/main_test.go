package membership

import (
	"testing"

	"fleettop/cluster/internal/leak"
)

func TestMain(m *testing.M) {
	// serf leaves that stream behind when it can't be created, as in a test here.
	leak.Main(m, []string{"hashicorp/"}, []string{"serfQueries).stream"})
}
