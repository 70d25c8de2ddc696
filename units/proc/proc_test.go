package proc

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	const zombie = "7 (a b) c) Z 3 7 5 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 1 0 4242 0 2 18446744073709551615 " +
		"0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 256"
	want := Stat{PID: 7, Start: 4242, Parent: 3, Session: 5, State: 'Z', CPU: 420 * time.Millisecond,
		Resident: 2 * int64(os.Getpagesize()), Exit: 256}
	if got, err := parse(7, []byte(zombie)); err != nil || got != want || !got.Ended() {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "7", "7 (a) S 1 2", "7 (a) S x 7 5 0 -1 0 1 0 0 0 12 30 0 0 20 0 1 0 4242 0 2"} {
		if s, err := parse(7, []byte(bad)); err == nil {
			t.Errorf("%q reads as %+v", bad, s)
		}
	}
}

func TestAll(t *testing.T) {
	child := exec.Command("sleep", "60")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	pid := child.Process.Pid
	list, err := All(Root)
	i := slices.IndexFunc(list, func(s Stat) bool { return s.PID == pid })
	if err != nil || i < 0 {
		t.Fatalf("process %d isn't among %d, %v", pid, len(list), err)
	}
	if s := list[i]; s.Parent != os.Getpid() || s.Session != pid || s.Start == 0 || s.Ended() || s.Exit != 0 {
		t.Errorf("our child is %+v", s)
	}
	if again, err := Read(Root, pid); err != nil || again.Start != list[i].Start {
		t.Errorf("read again it is %+v, %v", again, err)
	}
}

func TestBootID(t *testing.T) {
	if id, err := BootID(); err != nil || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("this boot is %q, %v", id, err)
	}
}
