package managertest

import (
	"os"
	"os/user"
	"strings"
)

// testContinued continues options of each kind over several lines.
func testContinued(h *harness) {
	me, err := user.Current()
	if err != nil {
		h.Skipf("the user that runs the suite has no name: %v", err)
	}
	name, out := h.name("continued.service"), h.scratch("out")
	vars := h.scratch("vars")
	if err := os.WriteFile(vars, []byte("G=from \\\n  a file\n"), 0o644); err != nil {
		h.Fatal(err)
	}
	h.load(name, `[Unit]
Description=Continued \
  lines
Wants=\
  `+h.name("other.service")+` \
# `+h.name("commented.service")+` \
  `+h.name("another.service")+`

[Service]
Type=\
  oneshot
RemainAfterExit=\
yes
User=\
  `+me.Username+`
WorkingDirectory=\
	/tmp
EnvironmentFile=\
  `+vars+`
Environment=A=1 \
  # A=2 \
# A=3
  "B=2 3" \
; B=4 \
  C=a

Environment=D=5 \
  E=6

UnsetEnvironment=\
  E \
# D \
  F
SuccessExitStatus=\
  7 \
  8
TimeoutStartSec=1min \
  30s
ExecStartPre=-/bin/false \

ExecStart=/bin/sh \
  -c \
# a comment \
  'echo "$A|$B|$C|$D|$E|$G|$0|$1|$#|$(pwd)|$(id -un)" > `+out+`; \
  exit 7' \
  ; another \
  "one \
  two"   \
  three
`)
	h.load(h.name("other.service"), sleeper("other"), h.name("another.service"), sleeper("another"),
		h.name("commented.service"), sleeper("no"))
	h.start(name)
	h.awaitActive(name)
	got, err := os.ReadFile(out)
	if err != nil {
		h.Fatal(err)
	}
	want := "1|2 3|a|5||from   a file|one    two|three|1|/tmp|" + me.Username
	if strings.TrimSpace(string(got)) != want {
		h.Errorf("the command wrote\n%swant\n%s", got, want)
	}
	h.awaitActive(h.name("other.service"))
	h.awaitActive(h.name("another.service"))
	if s := h.status(h.name("commented.service")); s.Active != "inactive" {
		h.Errorf("a unit named in a comment is %s", s.Active)
	}
}
