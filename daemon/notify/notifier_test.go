package notify

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// hook is a receiver behind HTTP.
type hook struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	got   []request
	fails int // requests that it refuses before it takes one
}

type request struct {
	path, body string
	header     http.Header
}

func newHook(t *testing.T, fails, status int) *hook {
	h := &hook{fails: fails}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.fails > 0 {
			h.fails--
			http.Error(w, "not now", status)
			return
		}
		h.got = append(h.got, request{r.URL.Path, string(body), r.Header})
	}))
	t.Cleanup(h.Close)
	return h
}

// texts are the sentences that arrived.
func (h *hook) texts() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.got {
		var n Notice
		_ = json.Unmarshal([]byte(r.body), &n)
		list = append(list, n.Text)
	}
	return list
}

func (h *hook) await(t *testing.T, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := h.texts()
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it was told %q, expected %q", got, want)
		}
	}
}

// world is a cluster in memory and who leads it in turn.
type world struct {
	t     *testing.T
	store *memstore.Store
}

func newWorld(t *testing.T) *world { return &world{t, memstore.New().Open()} }

// LastKnown implements View.
func (w *world) LastKnown() (*cluster.Snapshot, bool, time.Time, <-chan struct{}) {
	snap := cluster.NewSnapshot(1)
	snap.ClusterID = "c1"
	snap.Machines["m1"] = cluster.Machine{ID: "m1", Name: "n1"}
	return snap, true, time.Now(), nil
}

// lead has a leader tell receivers until stop is called.
func (w *world) lead(urls ...string) (stop func()) {
	w.t.Helper()
	receivers, err := Parse(urls, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var leading sync.WaitGroup
	n := New(Config{Self: "m1", Receivers: receivers, Store: w.store, View: w, Log: slog.New(slog.DiscardHandler)})
	leading.Go(func() { _ = n.Lead(ctx) })
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); leading.Wait() }) }
	w.t.Cleanup(stop)
	for _, r := range receivers { // a new receiver is told from here on
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if told, err := w.store.Told(w.t.Context(), r.id); err == nil && told > 0 {
				break
			} else if time.Now().After(deadline) {
				w.t.Fatal("the leader noted no beginning")
			}
		}
	}
	return stop
}

func (w *world) happens(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if err := w.store.Record(w.t.Context(), cluster.Event{Kind: cluster.EventMachine, Machine: "m1",
			State: cluster.Failed, Text: text}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestEachNoticeOnceAcrossLeaders(t *testing.T) {
	w, h := newWorld(t), newHook(t, 0, 0)
	w.happens("n0 failed: before there was a receiver")
	stop := w.lead(h.URL)
	w.happens("n1 failed: one")
	h.await(t, "n1 failed: one")
	stop()
	w.happens("n2 failed: two", "n3 failed: three") // no daemon leads
	stop = w.lead(h.URL)
	h.await(t, "n1 failed: one", "n2 failed: two", "n3 failed: three")
	w.happens("n4 failed: four")
	h.await(t, "n1 failed: one", "n2 failed: two", "n3 failed: three", "n4 failed: four")
	stop()
}

func TestReceiverThatFails(t *testing.T) {
	w, h, other := newWorld(t), newHook(t, 2, http.StatusBadGateway), newHook(t, 0, 0)
	w.lead(h.URL, other.URL)
	w.happens("n1 failed: one")
	other.await(t, "n1 failed: one") // and isn't kept waiting
	w.happens("n2 failed: two")
	h.await(t, "n1 failed: one", "n2 failed: two")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.got[0].header.Get("Idempotency-Key") == "" {
		t.Error("a notice has no key by which the receiver knows it again")
	}
}

func TestReceiverThatRefusesOne(t *testing.T) {
	w, h := newWorld(t), newHook(t, 1, http.StatusBadRequest)
	w.lead(h.URL)
	w.happens("n1 failed: refused")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		refused := h.fails == 0
		h.mu.Unlock()
		if refused {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was asked nothing")
		}
	}
	w.happens("n2 failed: two")
	h.await(t, "n2 failed: two")
}

func TestFormats(t *testing.T) {
	h := newHook(t, 0, 0)
	sent := func(spec string, kind Kind, text string) request {
		t.Helper()
		list, err := Parse([]string{spec}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := Notice{ID: "1", Time: time.Unix(1000, 0).UTC(), Cluster: "c1", Kind: kind, Severity: severities[kind], Text: text,
			Machine: "n2"}
		if err := list[0].send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		return h.got[len(h.got)-1]
	}
	if r := sent("ntfy+"+h.URL+"/ops", MachineFailed, "n2 failed"); r.path != "/ops" || r.body != "n2 failed" ||
		r.header.Get("Priority") != "urgent" || r.header.Get("Title") != "fleettop: machine-failed" {
		t.Errorf("ntfy got %+v", r)
	}
	if r := sent("slack+"+h.URL+"/hooks/x", Failover, "1 unit moved"); r.path != "/hooks/x" ||
		r.body != `{"text":":warning: 1 unit moved"}` {
		t.Errorf("slack got %+v", r)
	}
	began := sent("alertmanager+"+h.URL, MachineFailed, "n2 failed")
	ended := sent("alertmanager+"+h.URL, MachineBack, "n2 came back")
	var first, last []alert
	if err := json.Unmarshal([]byte(began.body), &first); err != nil || began.path != "/api/v2/alerts" {
		t.Fatalf("alertmanager got %+v, %v", began, err)
	}
	if err := json.Unmarshal([]byte(ended.body), &last); err != nil {
		t.Fatal(err)
	}
	if !first[0].EndsAt.After(last[0].EndsAt) || first[0].Labels["alertname"] != "fleettop-machine-failed" ||
		len(first[0].Labels) != len(last[0].Labels) {
		t.Errorf("the alert %+v is not ended by %+v", first[0], last[0])
	}
	for k, v := range first[0].Labels {
		if last[0].Labels[k] != v {
			t.Errorf("label %s is %q at first and %q at the end: two alerts", k, v, last[0].Labels[k])
		}
	}
}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	list, err := Parse(nil, []string{"cat >" + out + "; echo $FLEETTOP_KIND >>" + out, "echo broken; exit 3"})
	if err != nil {
		t.Fatal(err)
	}
	n := Notice{ID: "1", Kind: Hold, Text: "held"}
	if err := list[0].send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), `"text":"held"`) ||
		!strings.HasSuffix(string(text), "\nhold\n") {
		t.Errorf("the command read %q, %v", text, err)
	}
	if err := list[1].send(t.Context(), n); err == nil || err.Error() != "exit status 3: broken" {
		t.Errorf("a command that fails: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "urls")
	if err := os.WriteFile(file, []byte("https://a.example/secret\nntfy+https://b.example/topic\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := Parse([]string{"@" + file, "http://c.example"}, []string{"/usr/bin/tell --all"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range list {
		names = append(names, r.Name())
	}
	want := []string{"json at a.example", "ntfy at b.example", "json at c.example", "command /usr/bin/tell"}
	if !slices.Equal(names, want) {
		t.Errorf("receivers %q, expected %q", names, want)
	}
	for _, c := range []struct{ url, want string }{
		{"irc+https://a.example/secret", `there is no format "irc"`},
		{"ftp://a.example/secret", "is no URL"},
		{"https:///secret", "is no URL"},
		{"hooks.example/secret", "is no URL"},
		{"@" + file + ".none", "no such file"},
		{"", "is no URL"},
	} {
		_, err := Parse([]string{c.url}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, expected %q without the secret", c.url, err, c.want)
		}
	}
	if _, err := Parse([]string{"https://a.example", "https://a.example"}, nil); err == nil {
		t.Error("one receiver given twice is taken")
	}
	if _, err := Parse(nil, []string{" "}); err == nil {
		t.Error("an empty command is taken")
	}
}
