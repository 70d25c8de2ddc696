package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/fleetv1"
	"fleettop/daemon/api/server"
)

const (
	fleetUnits   = 1000
	fleetClients = 20
	fleetPoll    = 250 * time.Millisecond
)

// fleetBench is a server with many units, all of them reported.
func fleetBench(b *testing.B) *apitest.Cluster {
	b.Helper()
	c := apitest.Start(b, 3)
	var files []api.File
	for i := range fleetUnits {
		files = append(files, api.File{Name: fmt.Sprintf("u%04d.service", i), Content: service})
	}
	if _, err := c.Client().Act(b.Context(), api.ActionRequest{Verb: api.Start, Files: files}); err != nil {
		b.Fatal(err)
	}
	apitest.Eventually(b, "all are reported", func() bool { return len(c.Mem.Snapshot().Statuses) == fleetUnits })
	return c
}

// BenchmarkFleetRequests is what one request costs, without its way over a socket.
func BenchmarkFleetRequests(b *testing.B) {
	h := server.AsRole(api.Operator, fleetBench(b).API)
	for _, path := range []string{"/units/u0500.service", "/state/u0500.service", "/units", "/state", "/machines"} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/fleet/v1"+path, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

// BenchmarkFleetPolling is what clients cost that poll as fleetctl does: each for a unit of its
// own, and, which fleetctl does only once, each for all units. The share of a core is that of the
// clients too, as they are in this process: the daemon's is less.
func BenchmarkFleetPolling(b *testing.B) {
	c := fleetBench(b)
	get := func(client *http.Client, path string) error {
		resp, err := client.Get("http://fleet/fleet/v1" + path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	b.Run("unit", func(b *testing.B) {
		pollFleet(b, c, func(client *http.Client, n int) error {
			return get(client, fmt.Sprintf("/units/u%04d.service?alt=json", n))
		})
	})
	b.Run("list", func(b *testing.B) {
		pollFleet(b, c, func(client *http.Client, _ int) error {
			var errs []error
			for p := fleetv1.FirstPage(); (p.Number-1)*p.Limit < fleetUnits; p.Number++ {
				errs = append(errs, get(client, "/units?alt=json&nextPageToken="+p.Token()))
			}
			return errors.Join(errs...)
		})
	})
}

// pollFleet has clients poll for two seconds and reports what share of a core that takes.
func pollFleet(b *testing.B, c *apitest.Cluster, poll func(client *http.Client, n int) error) {
	socket := strings.TrimPrefix(c.Endpoint, "unix://")
	transport := &http.Transport{MaxIdleConnsPerHost: fleetClients,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}
	defer transport.CloseIdleConnections()
	for b.Loop() {
		before, began := cpuTime(b), time.Now()
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
		var clients sync.WaitGroup
		for n := range fleetClients {
			clients.Go(func() {
				tick := time.NewTicker(fleetPoll)
				defer tick.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-tick.C:
					}
					if err := poll(&http.Client{Transport: transport}, n); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		clients.Wait()
		cancel()
		b.ReportMetric(100*float64(cpuTime(b)-before)/float64(time.Since(began)), "%core")
	}
}

// cpuTime is the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
