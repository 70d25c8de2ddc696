package membership

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Verdict is what a probe found.
type Verdict string

// Verdicts.
const (
	Answered Verdict = "answered" // the daemon lives
	Reached  Verdict = "reached"  // the kernel answers; the daemon may yet
	Refused  Verdict = "refused"  // the kernel answers, and no daemon listens or another ID does
	Hung     Verdict = "hung"     // the kernel answers, and no proper answer came in time
	Silent   Verdict = "silent"   // nothing answers
	// Unknown: the probe could not be made from here (its context ended, no
	// file descriptors); it says nothing of the other machine.
	Unknown Verdict = "unknown"
)

// The protocol is one line each way: the prober names the ID it wants, and
// the daemon answers with the ID it has.
const (
	probeAsk    = "fleettop-probe "
	probeAnswer = "fleettop-here "
	probeLine   = 128 // bytes in a line, at most
)

// Patience is how long a probe waits.
type Patience struct {
	// Allowed is how long the kernel may take to answer before the probe is
	// Silent. The daemon has as long, and twice what the kernel took, before it is Hung.
	Allowed time.Duration
	// Late is how much longer a silent probe is listened for, as one that is
	// answered late says that the machine lives and how slow its network is.
	Late time.Duration
}

// Probe looks whether the daemon of machine id answers at addr (host:port) and
// calls report with what it finds as it finds it: Silent when the time allowed is
// over, whatever comes after that, Reached before the daemon's answer, and at
// last one of the others. It returns when there is nothing more to come.
func Probe(ctx context.Context, addr, id string, p Patience, report func(Verdict)) {
	began := time.Now()
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		dialer := net.Dialer{Timeout: p.Allowed + p.Late}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		done <- dialed{conn, err}
	}()
	allowed := time.NewTimer(p.Allowed)
	defer allowed.Stop()
	var d dialed
	silent := false
	select {
	case d = <-done:
	case <-allowed.C:
		silent = true
		report(Silent)
		d = <-done
	}
	if d.err != nil {
		if v := dialVerdict(ctx, d.err); v != Silent || !silent {
			report(v)
		}
		return
	}
	conn, err := d.conn, error(nil)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	report(Reached)
	answer := ""
	// The daemon's answer has the same way to go as the kernel's.
	if err = conn.SetDeadline(time.Now().Add(max(p.Allowed, 2*time.Since(began)))); err == nil {
		if _, err = io.WriteString(conn, probeAsk+id+"\n"); err == nil {
			answer, err = readLine(conn)
		}
	}
	switch has, ok := strings.CutPrefix(answer, probeAnswer); {
	case err == nil && ok && has == id:
		report(Answered)
	case err == nil && ok:
		report(Refused)
	case ctx.Err() != nil:
		report(Unknown)
	default:
		report(Hung)
	}
}

// dialVerdict reads a failed connect.
func dialVerdict(ctx context.Context, err error) Verdict {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return Unknown
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return Silent
	case errors.As(err, new(*net.DNSError)), errors.As(err, new(*net.AddrError)):
		return Unknown
	case errors.As(err, &timeout) && timeout.Timeout():
		return Silent
	}
	return Unknown
}

// readLine reads a line of the protocol without its end.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, probeLine), probeLine).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}
