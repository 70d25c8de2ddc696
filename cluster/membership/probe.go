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
	Refused  Verdict = "refused"  // the kernel answers, and nobody listens or another ID does
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

// Probe looks whether the daemon of machine id answers at addr (host:port),
// for timeout at most.
func Probe(ctx context.Context, addr, id string, timeout time.Duration) Verdict {
	deadline := time.Now().Add(timeout)
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return dialVerdict(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	answer := ""
	if err = conn.SetDeadline(deadline); err == nil {
		if _, err = io.WriteString(conn, probeAsk+id+"\n"); err == nil {
			answer, err = readLine(conn)
		}
	}
	switch has, ok := strings.CutPrefix(answer, probeAnswer); {
	case err == nil && ok && has == id:
		return Answered
	case err == nil && ok:
		return Refused
	case ctx.Err() != nil:
		return Unknown
	}
	return Hung
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
