package etcdserver

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss is this process's resident memory in MiB.
func rss(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kb, err := strconv.Atoi(f[1])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// BenchmarkIdle measures what idle members need:
//
//	go test ./cluster/etcdserver -run - -bench Idle -benchtime 1x
func BenchmarkIdle(b *testing.B) {
	measure := func(b *testing.B, n int) {
		time.Sleep(3 * time.Second)
		before, start := cpu(), time.Now()
		time.Sleep(10 * time.Second)
		b.ReportMetric(100*(cpu()-before).Seconds()/time.Since(start).Seconds()/float64(n), "%core/member")
		debug.FreeOSMemory()
		b.ReportMetric(rss(b), "MiB/process")
	}
	b.Run("1", func(b *testing.B) {
		bootstrapped(b)
		measure(b, 1)
	})
	b.Run("3", func(b *testing.B) {
		grow(b)
		measure(b, 3)
	})
}
