//go:build systemd

package systemd

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"fleettop/units"
)

// BenchmarkLoadStart loads and starts 300 units and prints where the time goes.
func BenchmarkLoadStart(b *testing.B) {
	const n = 300
	opts := options(b, "fleettop-bench")
	var files []units.UnitFile
	var names []string
	for i := range n {
		f := sleeper(fmt.Sprintf("bench@%d.service", i))
		files, names = append(files, f), append(names, f.Name)
	}
	for b.Loop() {
		m := openReal(b, opts)
		began := time.Now()
		lap := func(what string) {
			b.Logf("%-30s %8.1f ms", what, float64(time.Since(began).Microseconds())/1000)
			began = time.Now()
		}
		mustLoad(b, m, files...)
		lap("load 300")
		list, changes, err := m.Watch(b.Context())
		if err != nil || len(list) != n {
			b.Fatal(len(list), err)
		}
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				if err := m.Start(b.Context(), name); err != nil {
					b.Error(err)
				}
			})
		}
		active := map[string]bool{}
		for len(active) < n {
			for _, s := range <-changes {
				if s.Active == "active" {
					active[s.Name] = true
				}
			}
		}
		lap("start 300, all seen active")
		wg.Wait()
		mustLoad(b, m, files...)
		lap("load the same 300")
		mustLoad(b, m, sleeper("bench-one.service"))
		lap("load one more")
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		m = openReal(b, opts)
		lap("open, adopting 301")
		ctx, cancel := context.WithCancel(b.Context())
		if list, _, err = m.Watch(ctx); err != nil || len(list) != n+1 || list[1].PID == 0 {
			b.Fatal(len(list), err)
		}
		cancel()
		if errs, err := m.Unload(b.Context(), append(names, "bench-one.service")); err != nil || len(errs) > 0 {
			b.Fatal(errs, err)
		}
		lap("unload 301, running")
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
