package membership

import (
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// These measure what the detector's settings were chosen by:
//
//	go test ./cluster/membership -run - -bench . -benchtime 1x

var benchIntervals = []time.Duration{100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond}

// BenchmarkDetection measures the time from silence to failed.
func BenchmarkDetection(b *testing.B) {
	for _, interval := range benchIntervals {
		for _, n := range []int{3, 5} {
			b.Run(interval.String()+"/"+strconv.Itoa(n), func(b *testing.B) {
				const rounds = 5
				var total, worst time.Duration
				for range b.N * rounds {
					seats := gather(b, n, func(c *Config) { c.ProbeInterval = interval })
					start := time.Now()
					seats[n-1].cable.pulled.Store(true)
					d := seats[0].await(b, 10*time.Second, id(n), Failed).Since.Sub(start)
					total += d
					worst = max(worst, d)
					for _, s := range seats {
						s.Close()
					}
				}
				b.ReportMetric(total.Seconds()*1000/float64(b.N*rounds), "ms/mean")
				b.ReportMetric(worst.Seconds()*1000, "ms/worst")
			})
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle measures the CPU that an idle member needs.
func BenchmarkIdle(b *testing.B) {
	for _, interval := range benchIntervals {
		for _, n := range []int{3, 5} {
			b.Run(interval.String()+"/"+strconv.Itoa(n), func(b *testing.B) {
				gather(b, n, func(c *Config) { c.ProbeInterval = interval })
				time.Sleep(time.Second)
				before, start := cpu(), time.Now()
				time.Sleep(10 * time.Second)
				b.ReportMetric(100*(cpu()-before).Seconds()/time.Since(start).Seconds()/float64(n), "%core/member")
			})
		}
	}
}

// BenchmarkFullLoad counts members taken for failed, and suspicions, in two
// minutes of all cores being busy, which should be no failures.
func BenchmarkFullLoad(b *testing.B) {
	for _, load := range []struct {
		name    string
		perCore int
		nice    string
	}{{"niced", 1, "19"}, {"equal", 1, "0"}, {"twofold", 2, "0"}} {
		for _, interval := range benchIntervals[:1] {
			b.Run(load.name+"/"+interval.String(), func(b *testing.B) {
				seats := gather(b, 5, func(c *Config) { c.ProbeInterval = interval })
				for range load.perCore * runtime.NumCPU() {
					cmd := exec.Command("nice", "-n", load.nice, "sh", "-c", "while :; do :; done")
					if err := cmd.Start(); err != nil {
						b.Fatal(err)
					}
					defer func() { cmd.Process.Kill(); cmd.Wait() }()
				}
				type entry struct {
					id    string
					since time.Time
				}
				failures, suspicions := map[entry]bool{}, map[entry]bool{}
				end := time.After(2 * time.Minute)
				for over := false; !over; {
					changed := seats[0].Changed()
					for _, m := range seats[0].Members() {
						switch m.State {
						case Failed:
							failures[entry{m.ID, m.Since}] = true
						case Suspect:
							suspicions[entry{m.ID, m.Since}] = true
						}
					}
					select {
					case <-changed:
					case <-end:
						over = true
					}
				}
				b.ReportMetric(float64(len(failures)), "failures")
				b.ReportMetric(float64(len(suspicions)), "suspicions")
			})
		}
	}
}
