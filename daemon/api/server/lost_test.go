package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/daemon/view"
	"fleettop/units"
)

// TestReadsWithoutTheStore: what was known is told, with its age, by everything that reads.
func TestReadsWithoutTheStore(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service)
	apitest.Eventually(t, "it runs", func() bool {
		u, err := client.Unit(t.Context(), "a.service")
		return err == nil && u.State == units.Launched
	})
	c.Store.SetReachable(false)
	apitest.Eventually(t, "the loss is noticed", func() bool { _, live, _, _ := c.View.LastKnown(); return !live })

	for name, read := range map[string]func() (api.Store, error){
		"units":    func() (api.Store, error) { l, err := client.Units(t.Context(), false); return l.Store, err },
		"unit":     func() (api.Store, error) { u, err := client.Unit(t.Context(), "a.service"); return u.Store, err },
		"machines": func() (api.Store, error) { l, err := client.Machines(t.Context()); return l.Store, err },
		"events": func() (api.Store, error) {
			l, err := client.Timeline(t.Context(), "", 0)
			if err == nil && (len(l.Events) != 1 || !strings.Contains(l.Events[0].Text, "started a.service")) {
				err = fmt.Errorf("the timeline has %+v", l.Events)
			}
			return l.Store, err
		},
	} {
		st, err := read()
		if err != nil || st.Connected || st.Since.IsZero() {
			t.Errorf("%s without the store: %+v, %v", name, st, err)
		}
	}
	var first api.Line
	enough := errors.New("enough")
	if err := client.Watch(t.Context(), api.WatchOptions{}, func(_ *api.State, l *api.Line) error { first = *l; return enough }); err != enough ||
		len(first.Events) != 1 || first.Store.Connected {
		t.Errorf("a watch begins with %+v, %v", first, err)
	}
	_, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Stop, Units: []string{"a.service"}})
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeUnavailable || strings.Contains(e.Message, "yet") {
		t.Errorf("a write without the store: %v", err)
	}
}

// TestEventsAreFollowedThroughALoss of the store: those that are known come at
// once, the others when it is back, each once.
func TestEventsAreFollowedThroughALoss(t *testing.T) {
	c := apitest.Start(t, 1)
	record := func(s cluster.Store, text string) {
		t.Helper()
		if err := s.Record(t.Context(), cluster.Event{Kind: cluster.EventUnit, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	other := c.Mem.Open()
	defer other.Close()
	record(other, "before")
	lease := c.View.Hold()
	defer lease.Release()
	apitest.Eventually(t, "it is known", func() bool { return len(lease.Events(time.Time{}, 9)) == 1 })
	c.Store.SetReachable(false)
	apitest.Eventually(t, "the loss is noticed", func() bool { _, live, _, _ := lease.Latest(); return !live })

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	enough := errors.New("enough")
	err := c.Client().FollowEvents(ctx, "", 0, func(e cluster.Event) error {
		switch got = append(got, e.Text); e.Text {
		case "before":
			record(other, "during")
			c.Store.SetReachable(true)
		case "during":
			record(other, "after")
		case "after":
			return enough
		}
		return nil
	})
	if want := []string{"before", "during", "after"}; err != enough || !slices.Equal(got, want) {
		t.Errorf("followed %v, %v; want %v", got, err, want)
	}
}

// TestNeverReached is said, and by events -f too.
func TestNeverReached(t *testing.T) {
	c := apitest.Start(t, 1, func(cfg *server.Config) { cfg.View = view.New(cfg.Store, slog.New(slog.DiscardHandler), time.Second) }) // not run
	c.Store.SetReachable(false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := c.Client().FollowEvents(ctx, "", 10, func(cluster.Event) error { return nil })
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeUnavailable || !strings.Contains(e.Message, "has not reached the cluster's store yet") {
		t.Errorf("events are followed of a store that was never reached: %v", err)
	}
}

// TestReasonsAreToldDuringABurst of changes that doesn't pause.
func TestReasonsAreToldDuringABurst(t *testing.T) {
	c := apitest.Start(t, 1)
	client := c.Client()
	submit(t, client, api.Submit, "busy.service", service)
	stop := make(chan struct{})
	done := make(chan struct{})
	defer func() { close(stop); <-done }()
	busy := c.Client()
	go func() {
		defer close(done)
		for verb := api.Start; ; verb = map[api.Verb]api.Verb{api.Start: api.Unload, api.Unload: api.Start}[verb] {
			select {
			case <-stop:
				return
			default:
				_, _ = busy.Act(context.Background(), api.ActionRequest{Verb: verb, Units: []string{"busy.service"}})
			}
		}
	}()
	f := follow(t, client, api.WatchOptions{})
	apitest.Eventually(t, "the watch began", func() bool { return f.latest() != "" })
	submit(t, c.Client(), api.Start, "nowhere.service", service+"\n[X-Fleet]\nMachineMetadata=rack=none\n")
	apitest.Eventually(t, "the reason is told", func() bool {
		return f.saw(func(l api.Line) bool {
			return l.Kind == api.LineChange && slices.ContainsFunc(l.Unplaced, func(u api.Unplaced) bool { return u.Unit == "nowhere.service" })
		})
	})
}
