package cli

import (
	"fmt"
	"io"
	"time"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
)

// progressEvery is how often the progress of a long act is told where there is no terminal to tell it on.
const progressEvery = 10 * time.Second

// progressLine tells how far an act is: on a line of a terminal that is
// written over, elsewhere now and then on a line of its own.
type progressLine struct {
	out      io.Writer
	verb     string
	terminal bool
	quiet    time.Time // until then an act is too short to tell of
	shown    bool
}

// dialFor returns a client for a verb that may take long: it is told of while
// it goes on, and given up when the daemon says nothing for the request
// timeout. The caller closes it.
func (a *app) dialFor(verb string) (*client.Client, error) {
	c, err := a.env.client()
	if err != nil {
		return nil, err
	}
	p := &progressLine{out: a.err, verb: verb, terminal: print.IsTerminal(a.err) && a.env.getenv(varTerm) != "dumb"}
	if p.terminal {
		p.out = print.Raw(a.err) // what is told is clean, and the line is written over
	}
	if p.quiet = time.Now().Add(progressEvery); p.terminal {
		p.quiet = time.Now().Add(time.Second)
	}
	c.FollowLong(a.timeout, p.tell)
	return c, nil
}

// tell shows a progress, and clears the line where the act has ended.
func (p *progressLine) tell(now *api.Progress) {
	switch {
	case now == nil && p.shown && p.terminal:
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	case now == nil || time.Now().Before(p.quiet):
	default:
		text := fmt.Sprintf("%s: %d of %d done", p.verb, now.Done, now.Total)
		if now.Text != "" {
			text += "; " + draw.Clean(now.Text)
		}
		if p.shown = true; p.terminal {
			fmt.Fprint(p.out, "\r\x1b[K"+draw.Fit(text, 78))
			return
		}
		fmt.Fprintln(p.out, text)
		p.quiet = time.Now().Add(progressEvery)
	}
}
