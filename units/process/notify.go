package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits into a socket address.
const maxSocketPath = 107

// notifyMessage is one message of sd_notify.
type notifyMessage struct {
	sender int
	fields map[string]string
}

// notifySocket listens for one unit's messages. Its path depends on the
// unit's name alone, so that a later manager can listen where this one did.
type notifySocket struct {
	path string
	conn *net.UnixConn
}

func notifyPath(dir, unit string) string {
	sum := sha256.Sum256([]byte(unit))
	return filepath.Join(dir, "notify", hex.EncodeToString(sum[:8]))
}

func listenNotify(path string) (*notifySocket, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	// Units may run as any user; who may speak is decided by NotifyAccess=.
	err = os.Chmod(path, 0o777)
	if rc, err2 := conn.SyscallConn(); err == nil && err2 == nil {
		err2 = rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, err2)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &notifySocket{path: path, conn: conn}, nil
}

// close stops listening. The address stays, for the manager to come, unless the unit is over.
func (s *notifySocket) close(over bool) {
	_ = s.conn.Close()
	if over {
		_ = os.Remove(s.path)
	}
}

// read returns the next message; it fails when the socket was closed.
func (s *notifySocket) read() (notifyMessage, error) {
	buf, oob := make([]byte, 4096), make([]byte, 1024)
	for {
		n, oobn, _, _, err := s.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return notifyMessage{}, err
		}
		m := notifyMessage{fields: map[string]string{}}
		for _, line := range strings.Split(string(buf[:n]), "\n") {
			if k, v, ok := strings.Cut(line, "="); ok {
				m.fields[k] = v
			}
		}
		control, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			continue
		}
		for _, c := range control {
			if cred, err := syscall.ParseUnixCredentials(&c); err == nil {
				m.sender = int(cred.Pid)
			} else if fds, err := syscall.ParseUnixRights(&c); err == nil {
				// Nothing is stored here, and the sender's barrier waits for the closing.
				for _, fd := range fds {
					_ = syscall.Close(fd)
				}
			}
		}
		return m, nil
	}
}

// listen opens the unit's notification socket if it wants one.
func (u *unit) listen() error {
	if u.socket != nil || u.cfg.NotifyAccess == "none" || u.cfg.NotifyAccess == "" {
		return nil
	}
	s, err := listenNotify(notifyPath(u.m.disk.dir, u.name))
	if err != nil {
		return fmt.Errorf("listen for notifications: %w", err)
	}
	u.socket = s
	u.m.wg.Go(func() {
		for {
			m, err := s.read()
			if err != nil {
				return
			}
			u.post(func() {
				if u.socket == s {
					u.notified(m)
				}
			})
		}
	})
	return nil
}

// notified acts on a message.
func (u *unit) notified(m notifyMessage) {
	isMain := u.main != nil && u.main.PID == m.sender
	isControl := u.control != nil && u.control.PID == m.sender
	switch u.cfg.NotifyAccess {
	case "main":
		if !isMain {
			return
		}
	case "exec":
		if !isMain && !isControl {
			return
		}
	}
	if text := m.fields["STATUS"]; text != "" {
		u.log.Debug("the unit reports", "status", text)
	}
	if pid, err := strconv.Atoi(m.fields["MAINPID"]); err == nil && (u.main == nil || u.main.PID != pid) {
		u.adoptMain(pid)
	}
	if usec, err := strconv.ParseInt(m.fields["EXTEND_TIMEOUT_USEC"], 10, 64); err == nil && usec > 0 &&
		!u.st.Deadline.IsZero() {
		if d := time.Duration(usec) * time.Microsecond; d > time.Until(u.st.Deadline) {
			u.arm(d)
		}
	}
	if m.fields["READY"] == "1" && u.cfg.Type == "notify" && u.st.Sub == subStart {
		u.enterStartPost()
	}
	if m.fields["STOPPING"] == "1" && u.st.Sub == subRunning {
		u.feedDog(false)
		u.arm(u.cfg.StopTimeout)
		u.enter(subStopSigterm)
	}
	if v := m.fields["WATCHDOG"]; v == "1" && u.st.Sub == subRunning {
		u.feedDog(true)
	} else if v == "trigger" && u.st.Sub == subRunning {
		u.dogBit()
	}
}

// adoptMain takes a process of the unit as its main process.
func (u *unit) adoptMain(pid int) bool {
	id, ok := u.owns(pid)
	if !ok {
		u.log.Warn("a process that isn't the unit's was named its main process", "pid", pid)
		return false
	}
	p, err := openProcess(id)
	if err != nil {
		return false
	}
	u.setMain(p)
	u.commit()
	return true
}

// feedDog starts the watchdog's time anew, or stops it.
func (u *unit) feedDog(on bool) {
	u.dog.stop()
	u.dog = nil
	if on && u.cfg.Watchdog > 0 {
		u.dog = u.after(u.cfg.Watchdog, func() {
			if u.st.Sub == subRunning {
				u.dogBit()
			}
		})
	}
}

func (u *unit) dogBit() {
	u.blame(resultWatchdog, "the watchdog heard nothing for "+u.cfg.Watchdog.String())
	u.enterSignal(subStopWatchdog)
}
