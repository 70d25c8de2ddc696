package daemon

import (
	"regexp"
	"testing"
)

// TestBootID: it names the kernel's boot and that of the machine's first process, the same each time.
func TestBootID(t *testing.T) {
	id := bootID()
	if !regexp.MustCompile(`^[0-9a-f-]{36}/[0-9]+$`).MatchString(id) || bootID() != id {
		t.Errorf("this boot is %q, and then %q", id, bootID())
	}
}
