package membership

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// A machine can ask another one what it sees of a third: at the address where
// probes are answered, with one line each way. What the answer says is as
// trustworthy as that of a probe. Only members can be asked about, so that no
// stranger has a machine connect to an address of his choice.
const (
	lookAsk     = "fleettop-look " // and the ID of the machine it is about
	lookAnswer  = "fleettop-saw "  // a Verdict, and the ID of the machine that answers
	looksAtOnce = 16
	// A machine that missed an answer of another one tells those who decide, in
	// one line that has no answer. It is a hint to look, and proves nothing.
	doubtSays = "fleettop-doubt " // and the ID of the machine it is about
)

// Heard is the verdict of a look that had no answer, though packets of the machine arrived meanwhile.
const Heard Verdict = "heard"

// Witness is what a machine does for others. Its methods are called from several goroutines.
type Witness interface {
	// Look looks at a machine for another one. It returns Unknown where it can't.
	Look(ctx context.Context, id string) Verdict
	// Doubt notes that a machine didn't answer another one in time. It doesn't block.
	Doubt(id string)
}

// Ask asks the machine witness, whose probes are answered at addr, what it sees
// of machine id. It returns Unknown where it has no answer within limit, as of
// a daemon that doesn't know the question.
func Ask(ctx context.Context, addr, witness, id string, limit time.Duration) Verdict {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return Unknown
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, lookAsk+id+"\n"); err != nil {
		return Unknown
	}
	line, err := readLine(conn)
	if err != nil {
		return Unknown
	}
	answer, ok := strings.CutPrefix(line, lookAnswer)
	saw, by, _ := strings.Cut(answer, " ")
	all := []Verdict{Answered, Reached, Refused, Hung, Silent, Heard}
	if v := Verdict(saw); ok && by == witness && slices.Contains(all, v) {
		return v
	}
	return Unknown
}

// Doubt tells the machine whose probes are answered at addr that id didn't answer
// in time. It blocks for limit at most. Whether it arrived isn't known: a machine
// that doesn't hear of it, or a daemon that doesn't know the word, misses an answer itself a moment later.
func Doubt(ctx context.Context, addr, id string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) == nil {
		_, _ = io.WriteString(conn, doubtSays+id+"\n")
	}
}

// answerLook answers a question about another machine.
func (s *probeServer) answerLook(ctx context.Context, conn net.Conn, about string) {
	saw := Unknown
	select {
	case s.looks <- struct{}{}:
		saw = s.witness.Look(ctx, about)
		<-s.looks
	default: // others ask, too many
	}
	_ = conn.SetDeadline(time.Now().Add(probePatience))               // a look may take longer than a probe
	_, _ = io.WriteString(conn, lookAnswer+string(saw)+" "+s.id+"\n") // who asked may be gone
}
