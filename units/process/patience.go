package process

import "time"

const (
	// fileWait is how long the files a unit names may take to answer. A unit on
	// a file system that is gone must not hold up the daemon or other units.
	fileWait = 5 * time.Second
	// closeWait is how long Close waits for units that are held up by one.
	closeWait = 8 * time.Second

	// maxStuck is how many calls may be left behind with files that don't
	// answer. Each holds a thread, of which Go takes 10,000 at most.
	maxStuck = 64

	maxEnvironment = 1 << 20 // bytes of all environment files of a unit
	maxPIDFile     = 4 << 10 // bytes of a PID file
)

// files runs what may hang on files that units name. The channel has as many
// elements as there are calls under way.
type files chan struct{}

func newFiles() files { return make(files, maxStuck) }

// within runs f in a goroutine of its own and waits up to d for its result; ok
// is false if there was none. The goroutine then stays until the kernel lets go
// of it. When too many have, f isn't run.
func within[T any](calls files, d time.Duration, f func() T) (result T, ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case calls <- struct{}{}:
	case <-timer.C:
		return result, false
	}
	c := make(chan T, 1)
	go func() {
		defer func() { <-calls }()
		c <- f()
	}()
	select {
	case result = <-c:
		return result, true
	case <-timer.C:
		return result, false
	}
}
