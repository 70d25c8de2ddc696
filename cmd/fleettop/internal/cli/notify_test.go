package cli

import (
	"context"
	"strings"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
)

func TestNotifyTest(t *testing.T) {
	none := apitest.Start(t, 1)
	code, _, said := command(t, none.Endpoint, "notify", "test")
	if code != 1 || !strings.Contains(said, "has no receivers of notices") || !strings.Contains(said, "--notify=URL") {
		t.Errorf("without receivers: exit code %d, %q", code, said)
	}
	some := apitest.Start(t, 1, func(cfg *server.Config) {
		cfg.SendTest = func(context.Context, string) *api.NotifyReport {
			return &api.NotifyReport{Receivers: []api.NotifyResult{{Receiver: "ntfy at a.example", Seconds: 0.21},
				{Receiver: "json at b.example", Seconds: 10, Error: "404 Not Found"}}}
		}
	})
	code, out, said := command(t, some.Endpoint, "notify", "test")
	if want := "ntfy at a.example: took the test in 0.2 s\njson at b.example: failed after 10.0 s: 404 Not Found\n"; code != 1 ||
		out != want || !strings.Contains(said, "1 receiver of 2 did not take the test") {
		t.Errorf("exit code %d, %q, %q", code, out, said)
	}
	code, out, _ = command(t, some.Endpoint, "-o", "json", "notify", "test")
	if code != 1 || !strings.Contains(out, `"receiver": "json at b.example"`) || strings.Contains(out, `"message"`) {
		t.Errorf("as JSON: exit code %d, %s", code, out)
	}
	code, out, _ = command(t, some.Endpoint, "--read-only", "notify", "test")
	if code != 1 || out != "" {
		t.Errorf("read-only: exit code %d, %q", code, out)
	}
}
