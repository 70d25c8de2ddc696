package managertest

// testMissingProgram: a program that can't be executed is a failed start each
// time, of Type=simple too, which counts as started before it is executed.
func testMissingProgram(h *harness) {
	for _, kind := range []string{"simple", "exec", "oneshot"} {
		name := h.name("missing-" + kind + ".service")
		h.load(name, "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType="+kind+"\nExecStart=/nonexistent/program\n")
		for range 8 {
			e := h.wantJobError(h.m.Start(h.ctx, name), "start", name, "exit-code", "failed")
			if e.Detail == "" {
				h.Errorf("%s doesn't say why: %v", kind, e)
			}
		}
		h.wantJobError(h.m.Restart(h.ctx, name), "restart", name, "exit-code", "failed")
	}
}
