package fence

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// ErrLapsed is how a fence ends at its deadline.
var ErrLapsed = errors.New("the deadline passed without a renewal: the units bound to this fence are stopped")

const (
	armedFile  = "armed" // the deadline that a fence begins with
	socketFile = "socket"

	callLimit = time.Second // for one exchange between a daemon and its fence
	lineLimit = 200
	// watchdogSlack is how long after its deadline a fence that hangs is killed by its watchdog.
	watchdogSlack = 100 * time.Millisecond
)

// Arm writes the deadline that a fence in this directory begins with. A fence
// that is started without one, or after it, ends at once: nothing but a daemon
// whose session lives can raise a fence.
func Arm(dir string, until time.Duration) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("arm the fence: %w", err)
	}
	text := strconv.FormatInt(until.Nanoseconds(), 10)
	if err := atomicfile.Replace(filepath.Join(dir, armedFile), []byte(text), 0o600, dir); err != nil {
		return fmt.Errorf("arm the fence: %w", err)
	}
	return nil
}

func armed(dir string) (time.Duration, error) {
	text, err := safefile.Read(filepath.Join(dir, armedFile), lineLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("no daemon has armed this fence")
	}
	if err != nil {
		return 0, err
	}
	until, err := strconv.ParseInt(string(text), 10, 64)
	return time.Duration(until), err
}

// server is a fence.
type server struct {
	id     string // of this fence: another one has another
	notify func(state string)
	alarm  *alarm

	mu       sync.Mutex // guards what follows
	deadline time.Duration
	lowered  bool
	over     bool
}

// Serve is a fence in a directory: it blocks until its deadline has passed and
// returns ErrLapsed, or until it is lowered, or ctx ends, and returns nil. notify
// tells the init system, as sd_notify does: that the fence stands, and with each
// extension how long its watchdog is to wait, so that a fence that hangs ends too.
func Serve(ctx context.Context, dir string, notify func(state string)) error {
	s := &server{notify: notify}
	var raw [8]byte
	rand.Read(raw[:])
	s.id = hex.EncodeToString(raw[:])
	var err error
	if s.deadline, err = armed(dir); err != nil {
		return err
	}
	if s.deadline <= Now() {
		return ErrLapsed
	}
	if s.alarm, err = newAlarm(); err != nil {
		return err
	}
	path := filepath.Join(dir, socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	if err := s.alarm.set(s.deadline); err != nil {
		return err
	}
	var answering sync.WaitGroup
	answering.Go(func() { s.answer(listener, &answering) })
	defer answering.Wait()
	defer listener.Close()
	stop := context.AfterFunc(ctx, s.alarm.close)
	defer stop()
	s.feed(s.deadline - Now())
	s.notify("READY=1")
	return s.await(ctx)
}

// await blocks until the fence ends.
func (s *server) await(ctx context.Context) error {
	for {
		err := s.alarm.wait()
		s.mu.Lock()
		switch {
		case s.lowered || ctx.Err() != nil:
			s.over = true
			s.mu.Unlock()
			return nil
		case err != nil:
			s.over = true
			s.mu.Unlock()
			return err
		case s.deadline <= Now():
			s.over = true
			s.mu.Unlock()
			return ErrLapsed
		}
		s.mu.Unlock()
	}
}

// feed lets the watchdog wait until a little after the deadline.
func (s *server) feed(left time.Duration) {
	s.notify(fmt.Sprintf("WATCHDOG=1\nWATCHDOG_USEC=%d", (left + watchdogSlack).Microseconds()))
}

func (s *server) answer(listener net.Listener, answering *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		answering.Go(func() {
			defer conn.Close()
			if conn.SetDeadline(time.Now().Add(callLimit)) != nil {
				return
			}
			line, err := readLine(conn)
			if err == nil {
				fmt.Fprintln(conn, s.carryOut(line))
			}
		})
	}
}

// carryOut carries out a request and returns the answer: the fence's ID, or nothing where it has ended.
func (s *server) carryOut(line string) string {
	verb, text, _ := strings.Cut(line, " ")
	nanoseconds, err := strconv.ParseInt(text, 10, 64)
	until := time.Duration(nanoseconds)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := Now()
	switch {
	case s.over || s.lowered || s.deadline <= now:
		return ""
	case verb == "lower":
		s.lowered = true
		_ = s.alarm.set(now)
		return s.id
	case err != nil:
		return ""
	case verb == "extend" && until > s.deadline, verb == "limit" && until < s.deadline:
		if s.alarm.set(until) != nil {
			return ""
		}
		s.deadline = until
		s.feed(until - now)
	case verb != "extend" && verb != "limit":
		return ""
	}
	return s.id
}

func readLine(conn net.Conn) (string, error) {
	line, err := bufio.NewReaderSize(conn, lineLimit).ReadSlice('\n')
	return strings.TrimSuffix(string(line), "\n"), err
}
