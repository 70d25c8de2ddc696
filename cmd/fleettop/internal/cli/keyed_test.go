package cli

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/keys"
)

// TestKeyedClient reaches a machine's API with the cluster's key, and with another key does not.
func TestKeyedClient(t *testing.T) {
	const machine = "0123456789abcdef0123456789abcdef"
	ring := keys.NewRing(keys.Generate())
	path := filepath.Join(t.TempDir(), "key")
	if err := ring.Create(path); err != nil {
		t.Fatal(err)
	}
	identity, err := keys.NewIdentity(keys.Config{Machine: machine, Address: net.IPv4(127, 0, 0, 1), Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"version":"v1","machineID":"` + machine + `"}`))
		})}
	go server.Serve(tls.NewListener(l, identity.ServerConfig()))
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	m := api.Machine{Machine: cluster.Machine{ID: machine, Name: "n1", APIAddress: l.Addr().String()}}
	c, err := keyedClient(path, m)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v, err := c.Version(ctx); err != nil || v.MachineID != machine {
		t.Errorf("with the cluster's key: %+v, %v", v, err)
	}

	foreign := filepath.Join(t.TempDir(), "key")
	if err := keys.NewRing(keys.Generate()).Create(foreign); err != nil {
		t.Fatal(err)
	}
	if c, err = keyedClient(foreign, m); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v, err := c.Version(ctx); err == nil {
		t.Errorf("with another key: %+v", v)
	}
	if _, err := keyedClient(filepath.Join(t.TempDir(), "none"), m); err == nil {
		t.Error("without a key there is a client")
	}
}
