package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fleettop/units/retry"
)

const (
	// probeConns is how many probes are answered at a time. When there are
	// more, the oldest makes room: an honest one is over in an instant.
	probeConns    = 64
	probePatience = time.Second // with one prober
	acceptPause   = 20 * time.Millisecond
)

// probeServer answers probes, and what other machines ask and say about others.
type probeServer struct {
	id      string
	witness Witness
	looks   chan struct{} // one for each look under way
}

// ServeProbes answers probes on l as machine id, and what the witness sees of
// other machines. It closes l and returns when ctx has ended (nil) or l is broken
// (why), after all handlers have ended.
func ServeProbes(ctx context.Context, l net.Listener, id string, witness Witness) error {
	s := &probeServer{id: id, witness: witness, looks: make(chan struct{}, looksAtOnce)}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open openConns
	var handlers sync.WaitGroup
	var err error
	for {
		var conn net.Conn
		if conn, err = l.Accept(); err != nil {
			if ctx.Err() == nil && transient(err) {
				// Out of file descriptors, most likely. Those who wait in
				// the backlog are answered when it is over.
				retry.Pause(ctx, acceptPause)
				continue
			}
			break
		}
		open.add(conn)
		handlers.Go(func() {
			defer open.remove(conn)
			s.answer(ctx, conn)
		})
	}
	l.Close()
	open.closeAll()
	handlers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("answer probes on %s: %w", l.Addr(), err)
}

func (s *probeServer) answer(ctx context.Context, conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(probePatience)) != nil {
		return
	}
	line, err := readLine(conn)
	if err != nil {
		return
	}
	if about, ok := strings.CutPrefix(line, lookAsk); ok {
		s.answerLook(ctx, conn, about)
	} else if about, ok := strings.CutPrefix(line, doubtSays); ok {
		s.witness.Doubt(about)
	} else if strings.HasPrefix(line, probeAsk) {
		// A prober that is gone by now needs no answer.
		_, _ = io.WriteString(conn, probeAnswer+s.id+"\n")
	}
}

func transient(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR)
}

// openConns are the connections being answered, oldest first.
type openConns struct {
	mu   sync.Mutex // guards list
	list []net.Conn
}

func (o *openConns) add(c net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == probeConns {
		o.list[0].Close()
		o.list = slices.Delete(o.list, 0, 1)
	}
	o.list = append(o.list, c)
}

func (o *openConns) remove(c net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.Close()
	if i := slices.Index(o.list, c); i >= 0 {
		o.list = slices.Delete(o.list, i, i+1)
	}
}

func (o *openConns) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.list {
		c.Close()
	}
}
