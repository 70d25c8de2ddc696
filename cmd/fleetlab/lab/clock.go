package lab

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ShiftClock moves the time of day of one process: the main process of a
// unit sees the host's time plus an offset of whole seconds, at once, and
// nothing else does. Zero gives it the host's time again. Its monotonic clocks
// and those that its kernel counts by (timers, CLOCK_BOOTTIME) go on as they
// were, as they do when a clock is set. A new process of the unit, or another
// program that the process becomes, has the host's time.
//
// It is done in the process's own copy of the vDSO, the code by which programs
// ask for the time without a system call: clock_gettime then asks the kernel,
// and adds the offset to CLOCK_REALTIME. Only for programs that ask by
// clock_gettime of the vDSO, as those in Go do, and only on amd64.
func (m *Machine) ShiftClock(ctx context.Context, unit string, offset time.Duration) error {
	pid, err := m.MainPID(ctx, unit)
	if err == nil {
		err = shiftClock(ctx, pid, offset)
	}
	return m.fail("shift the clock of "+unit+" on", err)
}

// shiftedGettime is clock_gettime with an offset in seconds, which is at offsetAt.
var shiftedGettime = []byte{
	0xb8, 0xe4, 0, 0, 0, // mov $228, %eax  (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xc0, // test %eax, %eax
	0x75, 0x16, // jne to the end
	0x85, 0xff, // test %edi, %edi  (CLOCK_REALTIME)
	0x74, 0x05, // je to the addition
	0x83, 0xff, 0x05, // cmp $5, %edi  (CLOCK_REALTIME_COARSE)
	0x75, 0x0d, // jne to the end
	0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, // movabs offset, %rcx
	0x48, 0x01, 0x0e, // add %rcx, (%rsi)
	0xc3, // ret
}

const (
	offsetAt = 22 // in shiftedGettime
	jumpSize = 5  // jmp with a distance of 32 bits
)

func shiftClock(ctx context.Context, pid int, offset time.Duration) error {
	if runtime.GOARCH != "amd64" {
		return errors.New("it is written for amd64")
	}
	if offset%time.Second != 0 {
		return fmt.Errorf("offset %s: give whole seconds", offset)
	}
	// The kernel gives every program of 64 bits the same code: this process's is what there was.
	original, _, err := vdsoOf(os.Getpid())
	if err != nil {
		return err
	}
	current, base, err := vdsoOf(pid)
	if err != nil {
		return err
	}
	entry, err := symbolIn(original, "__vdso_clock_gettime")
	if err != nil {
		return err
	}
	if len(current) != len(original) || entry+jumpSize > len(original) {
		return errors.New("its vDSO is not the one of this process: is it a program of 32 bits?")
	}
	code := bytes.Clone(shiftedGettime)
	binary.LittleEndian.PutUint64(code[offsetAt:], uint64(int64(offset/time.Second)))
	place := len(original) - 64 // what follows the code in its last page is unused
	if len(bytes.Trim(original[place:], "\x00")) > 0 {
		return errors.New("the vDSO has no room at its end")
	}
	jump := bytes.Clone(original[entry : entry+jumpSize])
	if offset != 0 {
		jump = binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(place-entry-jumpSize)))
	}
	return whileStopped(ctx, pid, base+uint64(entry), func() error {
		mem, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(pid), "mem"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer mem.Close()
		if offset != 0 { // a thread may be in it on its way back
			if _, err := mem.WriteAt(code, int64(base)+int64(place)); err != nil {
				return err
			}
		}
		_, err = mem.WriteAt(jump, int64(base)+int64(entry))
		return err
	})
}

// vdsoOf reads a process's vDSO, and where it is.
func vdsoOf(pid int) (image []byte, base uint64, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		var end uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return nil, 0, fmt.Errorf("read %s/maps: %w", dir, err)
		}
		mem, err := os.Open(filepath.Join(dir, "mem"))
		if err != nil {
			return nil, 0, err
		}
		defer mem.Close()
		image = make([]byte, end-base)
		_, err = mem.ReadAt(image, int64(base))
		return image, base, err
	}
	return nil, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// symbolIn returns where in the image of a vDSO a function begins.
func symbolIn(image []byte, name string) (int, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == name {
			return int(s.Value), nil
		}
	}
	return 0, fmt.Errorf("the vDSO has no %s", name)
}

// whileStopped stops a process for f, at a moment when no thread of it is within the instructions
// at entry that f replaces.
func whileStopped(ctx context.Context, pid int, entry uint64, f func() error) error {
	for {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		within, err := true, waitFor(ctx, "the process to stop", func() bool { return stopped(pid) })
		if err == nil {
			within, err = anyWithin(pid, entry)
		}
		if err == nil && !within {
			err = f()
		}
		err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
		if err != nil || !within {
			return err
		}
		time.Sleep(time.Millisecond) // it goes on for a moment, and is elsewhere then
	}
}

// tasksOf returns the directories in /proc of a process's threads.
func tasksOf(pid int) []string {
	tasks, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*")) // the pattern is well-formed
	return tasks
}

// stopped reports whether all threads of a process are.
func stopped(pid int) bool {
	for _, task := range tasksOf(pid) {
		line, err := os.ReadFile(filepath.Join(task, "stat"))
		if err != nil {
			continue // it ended
		}
		if stat, err := parseStat(string(line)); err != nil || stat.state != 'T' && stat.state != 't' {
			return false
		}
	}
	return true
}

// anyWithin reports whether a thread of a stopped process has begun the
// instructions at entry, and not ended the first jumpSize bytes of them.
func anyWithin(pid int, entry uint64) (bool, error) {
	for _, task := range tasksOf(pid) {
		line, err := os.ReadFile(filepath.Join(task, "syscall"))
		if err != nil {
			return false, err
		}
		fields := strings.Fields(string(line))
		at, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return true, nil // not at rest yet
		}
		if at > entry && at < entry+jumpSize {
			return true, nil
		}
	}
	return false, nil
}
