package process

import "time"

const (
	// fileWait is how long the files a unit names may take to answer. A unit on
	// a file system that is gone must not hold up the daemon or other units.
	fileWait = 5 * time.Second
	// closeWait is how long Close waits for units that are held up by one.
	closeWait = 8 * time.Second

	maxEnvironment = 1 << 20 // bytes of all environment files of a unit
	maxPIDFile     = 4 << 10 // bytes of a PID file
)

// within runs f in a goroutine of its own and waits up to d for its result; ok
// is false if there was none. The goroutine then stays until the kernel lets go of it.
func within[T any](d time.Duration, f func() T) (result T, ok bool) {
	c := make(chan T, 1)
	go func() { c <- f() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case result = <-c:
		return result, true
	case <-timer.C:
		return result, false
	}
}
