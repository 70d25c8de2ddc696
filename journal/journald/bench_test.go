package journald

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fleettop/journal"
)

// BenchmarkRead reads a journal as fast as it can.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	w := newWriter(b, 1, true, true)
	const lines = 20_000
	for i := range uint64(lines) {
		w.add(i, i, fieldsOf("a.service", fmt.Sprint("a line of a unit that logs as fast as it can, ", i),
			fmt.Sprint("_SOURCE_REALTIME_TIMESTAMP=", i))...)
	}
	if err := os.WriteFile(filepath.Join(dir, "system.journal"), w.bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	s := openDir(b, dir)
	for _, fields := range []bool{false, true} {
		b.Run(fmt.Sprintf("fields=%v", fields), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				_, err := s.Read(b.Context(), []string{"a.service"}, journal.Query{Fields: fields}, nil, func(journal.Entry) error {
					n++
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
