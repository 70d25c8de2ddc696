package process

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"fleettop/units"
)

// BenchmarkStart100 starts a hundred trivial units at once, all active, and stops them outside the clock.
func BenchmarkStart100(b *testing.B) {
	const n = 100
	dir := scratch(b)
	m, err := New(Options{Dir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	var files []units.UnitFile
	for i := range n {
		files = append(files, units.UnitFile{Name: fmt.Sprintf("a@%d.service", i),
			Content: "[Unit]\nStartLimitBurst=0\n[Service]\nExecStart=/bin/sleep 1000\n"})
	}
	if bad, err := m.Load(b.Context(), files); err != nil || len(bad) > 0 {
		b.Fatal(bad, err)
	}
	each := func(do func(string) error) {
		var wg sync.WaitGroup
		for _, f := range files {
			wg.Go(func() {
				if err := do(f.Name); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for b.Loop() {
		each(func(name string) error { return m.Start(b.Context(), name) })
		b.StopTimer()
		each(func(name string) error { return m.Stop(b.Context(), name) })
		b.StartTimer()
	}
}
