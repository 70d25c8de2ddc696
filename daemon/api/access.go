package api

import (
	"path/filepath"
	"strings"
)

// Role is what a client may do.
type Role string

// Roles. A client without one may do nothing.
const (
	Viewer      Role = "viewer"   // look
	Operator    Role = "operator" // look, and act
	MachineRole Role = "machine"  // another daemon of the cluster: look, and what daemons do among themselves
)

// Group is the group whose members may use the socket besides root, and
// ViewGroup the one whose members may use the socket for viewers.
const (
	Group     = "fleettop"
	ViewGroup = "fleettop-view"
)

// DefaultEndpoint is where a machine's daemon listens.
const DefaultEndpoint = "unix:///run/fleettop/fleettop.sock"

// ViewSocket is the path of the socket for viewers, by that for operators.
func ViewSocket(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-view" + ext
}
