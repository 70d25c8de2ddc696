package server

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fleettop/daemon/api"
)

// metrics are what /metrics tells: this server's counters, the cluster as its
// view knows it, and what the process registers by default.
type metrics struct {
	s        *Server
	requests *prometheus.CounterVec
	watchers prometheus.Gauge
	handler  http.Handler
}

var (
	descMachines = prometheus.NewDesc("fleettop_machines", "Machines by health.", []string{"state"}, nil)
	descUnits    = prometheus.NewDesc("fleettop_units", "Unit files by desired state.", []string{"desired"}, nil)
	descStatuses = prometheus.NewDesc("fleettop_unit_statuses", "Units on machines by active state.", []string{"active"},
		nil)
	descUnplaced = prometheus.NewDesc("fleettop_units_unplaced", "Units that no machine can take.", nil, nil)
	descLeads    = prometheus.NewDesc("fleettop_leader", "Whether this machine leads the cluster.", nil, nil)
	descRevision = prometheus.NewDesc("fleettop_store_revision", "Revision of the state known here.", nil, nil)
	descStore    = prometheus.NewDesc("fleettop_store_connected",
		"Whether the store is connected; what the others say is old if not.", nil, nil)
	descInfo = prometheus.NewDesc("fleettop_info", "Always 1; tells the version and the machine.",
		[]string{"version", "machine"}, nil)
)

func newMetrics(s *Server) *metrics {
	m := &metrics{s: s,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fleettop_api_requests_total",
			Help: "Requests answered, by status."}, []string{"status"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "fleettop_api_watchers", Help: "Watches being served."}),
	}
	own := prometheus.NewRegistry()
	own.MustRegister(m, m.requests, m.watchers)
	m.handler = promhttp.HandlerFor(prometheus.Gatherers{own, prometheus.DefaultGatherer},
		promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return m
}

// serve makes sure that the view is warm before it is told.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) {
	if l, e := m.s.read(r); e == nil {
		defer l.lease.Release()
	}
	m.handler.ServeHTTP(w, r)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMachines, descUnits, descStatuses, descUnplaced, descLeads, descRevision,
		descStore, descInfo} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	by := func(d *prometheus.Desc, counts map[string]int) {
		for _, label := range sortedKeys(counts) {
			gauge(d, float64(counts[label]), label)
		}
	}
	gauge(descInfo, 1, m.s.cfg.Version, m.s.cfg.Self)
	snap, live, _, _ := m.s.cfg.View.LastKnown()
	gauge(descStore, flag(live))
	if snap == nil {
		return
	}
	gauge(descRevision, float64(snap.Revision))
	gauge(descLeads, flag(snap.Leader.Machine == m.s.cfg.Self))
	health := m.s.health(snap, api.Store{Connected: live})
	machines, desired, active := map[string]int{}, map[string]int{}, map[string]int{}
	for _, h := range health {
		machines[string(h.State)]++
	}
	for _, u := range snap.Units {
		desired[string(u.Desired)]++
	}
	for _, st := range snap.Statuses {
		active[st.Active]++
	}
	by(descMachines, machines)
	by(descUnits, desired)
	by(descStatuses, active)
	gauge(descUnplaced, float64(len(unplaced(snap))))
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// count wraps a writer so that its status is counted.
func (m *metrics) count(w http.ResponseWriter) http.ResponseWriter {
	return &counted{ResponseWriter: w, m: m}
}

type counted struct {
	http.ResponseWriter
	m    *metrics
	done bool
}

// WriteHeader counts the status.
func (c *counted) WriteHeader(status int) {
	if !c.done {
		c.done = true
		c.m.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write counts a 200 that was not written by hand.
func (c *counted) Write(b []byte) (int, error) {
	if !c.done {
		c.WriteHeader(http.StatusOK)
	}
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach deadlines and Flush.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
