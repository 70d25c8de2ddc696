package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	busName         = "org.freedesktop.systemd1"
	managerPath     = dbus.ObjectPath("/org/freedesktop/systemd1")
	unitsPath       = managerPath + "/unit"
	managerIface    = "org.freedesktop.systemd1.Manager"
	unitIface       = "org.freedesktop.systemd1.Unit"
	propertiesIface = "org.freedesktop.DBus.Properties"

	privateSocket = "/run/systemd/private"
	systemBus     = "/run/dbus/system_bus_socket"

	nudgeEvery = 10 * time.Millisecond
)

// errLost means that the connection ended before an answer came.
var errLost = errors.New("the connection to systemd was lost")

// session is one connection to systemd.
type session struct {
	m        *Manager
	bus      *dbus.Conn
	systemd  dbus.BusObject
	jobs     *jobs
	foreign  foreign       // jobs that others asked for
	reloaded chan struct{} // capacity 1: systemd finished a reload
	replaced chan struct{} // capacity 1: the name on the bus has another owner

	unitDirs []string // where this systemd looks for units; constant
}

func newSession(m *Manager) *session {
	return &session{m: m, jobs: newJobs(), foreign: newForeign(), reloaded: make(chan struct{}, 1), replaced: make(chan struct{}, 1)}
}

// DeliverSignal implements dbus.SignalHandler.
func (s *session) DeliverSignal(_, _ string, sig *dbus.Signal) { s.m.signal(s, sig) }

// addresses are where a systemd answers.
type addresses struct {
	private string // path of the socket it serves itself
	bus     string // D-Bus address
}

func systemAddresses() addresses {
	a := addresses{private: privateSocket, bus: "unix:path=" + systemBus}
	if address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
		a.bus = address
	}
	return a
}

// userAddresses are those of a user's own systemd, by the user's runtime directory.
func userAddresses(runtime string) addresses {
	a := addresses{private: filepath.Join(runtime, "systemd/private"),
		bus: "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(runtime, "bus"))}
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		a.bus = address
	}
	return a
}

// dial connects, directly to systemd or else through the bus.
func (s *session) dial(ctx context.Context) error {
	at := s.m.at
	errPrivate := s.connect(ctx, "unix:path="+dbus.EscapeBusAddressValue(at.private), false)
	if errPrivate == nil {
		return nil
	}
	if err := s.connect(ctx, at.bus, true); err != nil {
		return fmt.Errorf("systemd answers neither at %s (%w) nor over the bus at %s (%w); is it running, and is this its user? --manager=process runs units without it",
			at.private, errPrivate, at.bus, err)
	}
	return nil
}

// connect makes a connection that lives until the manager is closed.
func (s *session) connect(ctx context.Context, address string, bus bool) error {
	conn, err := dbus.Dial(address, dbus.WithContext(s.m.ctx), dbus.WithSignalHandler(s))
	if err != nil {
		return err
	}
	// The handshake itself knows no context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s.bus, s.systemd = conn, conn.Object(busName, managerPath)
	if err := s.handshake(ctx, bus); err != nil {
		conn.Close()
		return errors.Join(err, ctx.Err())
	}
	return nil
}

func (s *session) handshake(ctx context.Context, bus bool) error {
	// By number: a static binary has no lookup of user names to rely on.
	if err := s.bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return err
	}
	if bus { // systemd itself sends every signal to those connected to it directly
		if err := s.bus.Hello(); err != nil {
			return err
		}
		for _, match := range [][]dbus.MatchOption{
			{dbus.WithMatchSender(busName), dbus.WithMatchInterface(propertiesIface), dbus.WithMatchPathNamespace(unitsPath)},
			{dbus.WithMatchSender(busName), dbus.WithMatchInterface(managerIface), dbus.WithMatchObjectPath(managerPath)},
			{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
				dbus.WithMatchArg(0, busName)},
		} {
			if err := s.bus.AddMatchSignalContext(ctx, match...); err != nil {
				return err
			}
		}
	}
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	var dirs dbus.Variant
	err := s.systemd.CallWithContext(ctx, propertiesIface+".Get", 0, managerIface, "UnitPath").Store(&dirs)
	if err != nil {
		return err
	}
	return dirs.Store(&s.unitDirs)
}

// subscribe makes the first call of a connection. A systemd that is asked
// directly and reads this call together with the end of the handshake doesn't
// look at it before more comes, so more is sent until it has answered.
func (s *session) subscribe(ctx context.Context) error {
	call := s.systemd.GoWithContext(ctx, managerIface+".Subscribe", 0, make(chan *dbus.Call, 1))
	nudge := time.NewTicker(nudgeEvery)
	defer nudge.Stop()
	for {
		select {
		case <-call.Done:
			return call.Err
		case <-nudge.C:
			s.systemd.Go("org.freedesktop.DBus.Peer.Ping", dbus.FlagNoReplyExpected, nil)
		}
	}
}

// call calls a method of systemd's manager object and waits for its answer.
// Err wraps errLost where none can come any more.
func (s *session) call(ctx context.Context, method string, args ...any) *dbus.Call {
	return s.wait(s.systemd.GoWithContext(ctx, managerIface+"."+method, 0, make(chan *dbus.Call, 1), args...))
}

// wait waits for the answer to a call.
func (s *session) wait(call *dbus.Call) *dbus.Call {
	done := <-call.Done
	if done.Err != nil && !s.bus.Connected() {
		done.Err = fmt.Errorf("%w: %w", errLost, done.Err)
	}
	return done
}

// property asks for a property without waiting for it.
func (s *session) property(ctx context.Context, path dbus.ObjectPath, iface, name string) *dbus.Call {
	return s.bus.Object(busName, path).GoWithContext(ctx, propertiesIface+".Get", 0, make(chan *dbus.Call, 1), iface, name)
}
