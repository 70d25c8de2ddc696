package cli

import (
	"os"
	"testing"
)

// actAsFleettop makes the test binary behave as fleettop itself, for tests
// that start it as a child process.
const actAsFleettop = "FLEETTOP_TEST_ACT_AS_FLEETTOP"

func TestMain(m *testing.M) {
	if os.Getenv(actAsFleettop) != "" {
		os.Exit(Main(Build{}))
	}
	os.Exit(m.Run())
}
