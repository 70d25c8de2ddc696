package etcdnode

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/cluster/memstore"
	"fleettop/daemon/api/client"
	"fleettop/daemon/view"
)

// askable reaches one machine's API.
type askable struct{ url string }

func (a askable) Client(string) (*client.Client, error) { return client.Dial(a.url) }

// TestHomeIsLookedForUntilTheStoreAnswers: a founder that another cluster knows asks its own store
// whether the cluster it founded is in use. That the store doesn't answer yet settles nothing.
func TestHomeIsLookedForUntilTheStoreAnswers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	asked := make(chan struct{}, 1000)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"machines":[{"id":"b"}]}`))
		asked <- struct{}{}
	}))
	defer api.Close()
	log := slog.New(slog.DiscardHandler)
	store := memstore.New().Open()
	if err := store.UpdateMachine(ctx, "b", func(m *cluster.Machine) error { m.Name = "b"; return nil }); err != nil {
		t.Fatal(err)
	}
	store.SetReachable(false)
	v := view.New(store, log, time.Second)
	var running sync.WaitGroup
	viewCtx, stop := context.WithCancel(ctx)
	running.Go(func() { v.Run(viewCtx) })
	defer running.Wait()
	defer stop()

	g := &gossip{network: &network{members: map[string]membership.Member{
		"a": {ID: "a", State: membership.Alive, Tags: map[string]string{tagCluster: "theirs"}}}}, id: "b"}
	n := &Node{cfg: Config{Machine: "b", StateDir: "/nowhere"}, gossip: g, log: log, founded: true, clusterID: "ours"}
	ended := make(chan error, 1)
	go func() { ended <- n.FindHome(ctx, askable{api.URL}, v) }()
	for range 2 { // the second time after the store didn't answer
		select {
		case <-asked:
		case err := <-ended:
			t.Fatalf("it gave up looking while the store was away: %v", err)
		}
	}
	store.SetReachable(true)
	if err := <-ended; !errors.Is(err, ErrKnownElsewhere) {
		t.Errorf("it ended with %v, want %v", err, ErrKnownElsewhere)
	}
}
