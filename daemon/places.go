package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"fleettop/daemon/keys"
)

// Places are where a daemon keeps its files unless the operator says otherwise.
type Places struct {
	StateDir string
	RunDir   string // empty where the user's is not known
	KeyFile  string
}

var errNoRuntimeDir = errors.New("XDG_RUNTIME_DIR is not set, so this user's systemd can't be found: " +
	"log in as the user, or set it to /run/user/UID; --manager=process runs units without systemd")

// chooseManager decides who runs the units.
func (c *Config) chooseManager() error {
	switch c.Manager {
	case "", ManagerAuto:
		c.Manager = UsualManager()
	case ManagerSystemd, ManagerSystemdUser, ManagerProcess:
	default:
		return fmt.Errorf("unknown manager %q: choose auto, systemd, systemd-user or process", c.Manager)
	}
	return nil
}

// UsualManager is the manager of this user's daemon unless the operator names one.
func UsualManager() ManagerKind {
	st, err := os.Stat("/run/systemd/system")
	switch {
	case err != nil || !st.IsDir():
		return ManagerProcess
	case os.Geteuid() == 0:
		return ManagerSystemd
	}
	return ManagerSystemdUser
}

// PlacesOf are the machine's places, or an ordinary user's own where systemd
// isn't asked to run system units. An error means that the user has no home.
func PlacesOf(m ManagerKind) (Places, error) { return placesOf(m, os.Geteuid()) }

func placesOf(m ManagerKind, uid int) (p Places, err error) {
	if m != ManagerSystemdUser && (m != ManagerProcess || uid == 0) {
		return Places{DefaultStateDir, DefaultRunDir, keys.DefaultFile}, nil
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return p, fmt.Errorf("find this user's configuration: %w", err)
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return p, fmt.Errorf("find this user's state: %w", err)
		}
		state = filepath.Join(home, ".local/state")
	}
	p = Places{StateDir: filepath.Join(state, "fleettop"), RunDir: userRunDir(uid), KeyFile: filepath.Join(config,
		"fleettop/key")}
	if m == ManagerSystemdUser && os.Getenv("XDG_RUNTIME_DIR") == "" {
		p.RunDir = "" // systemd isn't found either
	}
	return p, nil
}

// UserRunDir is where this user's own daemon has its sockets.
func UserRunDir() string { return userRunDir(os.Geteuid()) }

func userRunDir(uid int) string {
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		return filepath.Join(runtime, "fleettop")
	}
	return temporaryRunDir(uid)
}

// temporaryRunDir is the run directory of a user who has no runtime directory.
// It lies among all users' temporary files, so that it must be checked.
func temporaryRunDir(uid int) string {
	return filepath.Join(os.TempDir(), "fleettop-"+strconv.Itoa(uid))
}
