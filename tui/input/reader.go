package input

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"
)

// chunkMost is how much is read at once.
const chunkMost = 4096

// Reader reads a terminal. It reads on whatever the program does, so that keys
// are not lost and a terminal that is gone is noticed.
type Reader struct {
	in   io.Reader
	file *os.File // nil where in isn't a local terminal
	wake *os.File // written to stop waiting for file; wakeEnd is read
	end  *os.File

	mouse   atomic.Bool // the terminal was asked for mouse events
	chunks  chan []byte
	stopped chan struct{} // closed by Close
	done    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	turn   *sync.Cond
	paused bool
	away   bool // file isn't read
}

// Start reads in until Close: emit is called with each message, from one
// goroutine, and gone once, when nothing more can come.
func Start(in io.Reader, local, mouse bool, emit func(tea.Msg), gone func()) (*Reader, error) {
	r := &Reader{in: in, chunks: make(chan []byte), stopped: make(chan struct{})}
	r.turn = sync.NewCond(&r.mu)
	r.mouse.Store(mouse)
	if f, ok := in.(*os.File); ok && local {
		end, wake, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		r.file, r.end, r.wake = f, end, wake
		r.done.Go(r.readFile)
	} else {
		go r.readStream() // ends with its connection, which isn't ours
	}
	r.done.Go(func() {
		r.decode(&Decoder{opened: time.Now()}, emit)
		select {
		case <-r.stopped:
		default:
			gone()
		}
	})
	return r, nil
}

// Close ends the reader. What wasn't read of a local terminal stays there for others.
func (r *Reader) Close() {
	close(r.stopped)
	r.Resume()
	if r.file != nil {
		_, _ = r.wake.Write([]byte{0})
	}
	r.done.Wait()
	if r.file != nil {
		r.wake.Close()
		r.end.Close()
	}
}

// SetMouse says that the terminal was asked for mouse events, or no longer.
func (r *Reader) SetMouse(on bool) { r.mouse.Store(on) }

// Pause leaves a local terminal to another program, until Resume. It returns
// when nothing reads it any more.
func (r *Reader) Pause() {
	if r.file == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = true
	_, _ = r.wake.Write([]byte{0})
	for !r.away {
		r.turn.Wait()
	}
}

// Resume reads on. Answers to what the other program asked are no keys.
func (r *Reader) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = false
	r.turn.Broadcast()
}

// mayRead waits while the reader is paused, and reports whether it was.
func (r *Reader) mayRead() (was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.paused {
		was, r.away = true, true
		r.turn.Broadcast()
		r.turn.Wait()
	}
	r.away = false
	return was
}

// leave says that file isn't read any more.
func (r *Reader) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = true
	r.turn.Broadcast()
}

// pass hands a chunk on, and reports whether the reader goes on.
func (r *Reader) pass(chunk []byte) bool {
	select {
	case <-r.stopped:
		return false
	case r.chunks <- chunk:
		return true
	}
}

func (r *Reader) readStream() {
	defer close(r.chunks)
	for {
		buf := make([]byte, chunkMost)
		n, err := r.in.Read(buf)
		if n > 0 && !r.pass(buf[:n]) || err != nil {
			return
		}
	}
}

func (r *Reader) readFile() {
	defer close(r.chunks)
	defer r.leave()
	for {
		if r.mayRead() && !r.pass(nil) { // which tells the decoder
			return
		}
		chunk, err := r.readOnce()
		if err != nil || len(chunk) > 0 && !r.pass(chunk) {
			return
		}
		select {
		case <-r.stopped:
			return
		default:
		}
	}
}

// readOnce waits for the terminal or to be woken, and reads what there is.
func (r *Reader) readOnce() ([]byte, error) {
	fds := []unix.PollFd{{Fd: int32(r.file.Fd()), Events: unix.POLLIN}, {Fd: int32(r.end.Fd()), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil, nil
		}
		return nil, err
	}
	if fds[1].Revents != 0 {
		_, err := r.end.Read(make([]byte, 16))
		return nil, err
	}
	buf := make([]byte, chunkMost)
	n, err := unix.Read(int(r.file.Fd()), buf)
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return nil, nil
	case err != nil:
		return nil, err
	case n == 0:
		return nil, io.EOF
	}
	return buf[:n], nil
}

// decode turns chunks into messages until they end.
func (r *Reader) decode(d *Decoder, emit func(tea.Msg)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var msgs []tea.Msg
		wait := time.Hour
		if at, ok := d.Deadline(); ok {
			wait = time.Until(at)
		}
		timer.Reset(wait)
		select {
		case <-r.stopped:
			return
		case chunk, ok := <-r.chunks:
			switch {
			case !ok:
				return
			case chunk == nil:
				d.Opened(time.Now())
			default:
				d.Mouse = r.mouse.Load()
				msgs = d.Feed(chunk, time.Now())
			}
		case now := <-timer.C:
			msgs = d.Expire(now)
		}
		for _, m := range msgs {
			emit(m)
		}
	}
}
