package lab

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	laneFrames = 4096  // that may be under way in one direction; more are lost
	frameSize  = 65550 // the longest frame there can be
)

// lane is one direction of a cable: it decides what becomes of each frame.
type lane struct {
	quality Quality
	chance  *rand.Rand
	last    time.Time // when the frame before arrives
}

// arrival returns when a frame sent now arrives, or that it is lost. Frames
// never overtake each other.
func (l *lane) arrival(now time.Time) (at time.Time, lost bool) {
	if l.quality.Loss > 0 && l.chance.Float64()*100 < l.quality.Loss {
		return time.Time{}, true
	}
	at = now.Add(l.quality.Delay)
	if j := l.quality.Jitter; j > 0 {
		at = at.Add(time.Duration(l.chance.Int64N(2*int64(j)+1)) - j)
	}
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at, false
}

type frame struct {
	data []byte
	at   time.Time
}

// carry moves frames from one end to the other until the source ends; what is
// under way then is lost.
func (l *lane) carry(from io.Reader, to io.Writer) error {
	underway := make(chan frame, laneFrames)
	ended := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { deliver(underway, ended, to) })
	defer wait.Wait()
	defer close(ended)
	buffer := make([]byte, frameSize)
	for {
		n, err := from.Read(buffer)
		if errors.Is(err, unix.ENETDOWN) {
			continue // the cable was pulled; the socket says so once, and works on when it is plugged in
		}
		if err != nil {
			return err
		}
		at, lost := l.arrival(time.Now())
		if lost {
			continue
		}
		select {
		case underway <- frame{append([]byte(nil), buffer[:n]...), at}:
		default:
		}
	}
}

// deliver writes each frame when it is due. A frame that can't be written is
// lost, as on a wire.
func deliver(underway <-chan frame, ended <-chan struct{}, to io.Writer) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ended:
			return
		case f := <-underway:
			due.Reset(time.Until(f.at))
			select {
			case <-ended:
				return
			case <-due.C:
			}
			_, _ = to.Write(f.data)
		}
	}
}

// CarryFrames is a cable in user space: it carries frames between a TAP and a
// packet socket, worsened by q each way, and closes both at its end. It blocks
// until the TAP is deleted, which is how such a cable is removed.
func CarryFrames(tap, nic *os.File, q Quality) error {
	defer tap.Close()
	defer nic.Close()
	newLane := func() *lane { return &lane{quality: q, chance: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))} }
	var back sync.WaitGroup
	back.Go(func() { _ = newLane().carry(nic, tap) }) // ends when nic is closed below
	err := newLane().carry(tap, nic)
	nic.Close()
	back.Wait()
	if errors.Is(err, unix.EBADFD) || errors.Is(err, io.EOF) {
		return nil // the TAP was deleted
	}
	return err
}

// cableArgs are the arguments of a cable's process; parseCable reads them.
func cableArgs(q Quality) []string {
	return []string{"-delay", q.Delay.String(), "-jitter", q.Jitter.String(), "-loss", fmt.Sprint(q.Loss)}
}

// RunCable is the main function of Options.CableCommand: it is given the
// arguments after the command, and the TAP and the packet socket as
// descriptors 3 and 4.
func RunCable(args []string) error {
	q, err := parseCable(args)
	if err != nil {
		return err
	}
	for fd := 3; fd <= 4; fd++ {
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("cable: descriptor %d: %w: this command is run by the lab itself, not by people", fd, err)
		}
	}
	return CarryFrames(os.NewFile(3, "tap"), os.NewFile(4, "nic"), q)
}

func parseCable(args []string) (Quality, error) {
	var q Quality
	flags := flag.NewFlagSet("cable", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&q.Delay, "delay", 0, "")
	flags.DurationVar(&q.Jitter, "jitter", 0, "")
	flags.Float64Var(&q.Loss, "loss", 0, "")
	if err := flags.Parse(args); err != nil {
		return Quality{}, fmt.Errorf("cable: %w", err)
	}
	return q, q.check()
}

// openTAP makes a TAP interface in this thread's network namespace; it is gone
// when the file is closed.
func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w: load the kernel's tun module, or use a kernel with netem", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TAP %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openPacket opens a socket that gets what comes out of a link, and sends into it.
func openPacket(index int) (*os.File, error) {
	const all = (unix.ETH_P_ALL&0xff)<<8 | unix.ETH_P_ALL>>8 // in network order
	// Bound to no protocol at first, or it would get frames of other links until it is bound to this one.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "nic"), nil
}
