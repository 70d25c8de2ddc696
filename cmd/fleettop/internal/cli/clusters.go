package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"fleettop/cmd/fleettop/internal/sshdial"
	"fleettop/daemon/api/client"
	"fleettop/tui/config"
)

// clusterPatience is how long one of several daemons of a cluster may take to answer.
const clusterPatience = 5 * time.Second

// find makes endpoint and host those of the cluster to talk to: the one that a
// flag names, else the one that the environment names, else the
// configuration's. An endpoint or host that was given is used as it is.
func (p *ownProcess) find() error {
	if p.sought {
		return nil
	}
	name, c, err := p.named()
	if err != nil {
		return usageError{err}
	}
	if name == "" {
		p.sought = true
		if p.given("endpoint") && !p.given("host") {
			p.host = "" // of the environment, which the flag overrides
		}
		return nil
	}
	places := placesOf(c)
	chosen := places[0]
	if len(places) > 1 {
		if chosen, err = firstAnswer(name, places); err != nil {
			return err
		}
	}
	p.use(name, chosen)
	return nil
}

// findForConsole is find for a console, which opens also where no daemon
// answers or the configuration is broken; the warning says so.
func (p *ownProcess) findForConsole() (warning string, err error) {
	if p.switched {
		p.sought = false
	}
	err = p.find()
	if err == nil {
		return "", nil
	}
	name, c, namedErr := p.named()
	switch {
	case namedErr == nil && name != "":
		p.use(name, placesOf(c)[0])
		return err.Error(), nil
	case p.given("cluster") || p.switched:
		return "", err
	}
	p.sought = true
	return err.Error(), nil
}

// named is the cluster to talk to; an empty name stands for none.
func (p *ownProcess) named() (name string, c config.Cluster, err error) {
	asked := p.given("cluster") || p.switched
	direct := p.given("endpoint") || p.given("host")
	if !asked && (direct || os.Getenv(varEndpoint) != "" || os.Getenv(varHost) != "") {
		return "", c, nil
	}
	path, err := config.Path()
	if err != nil {
		if p.cluster == "" {
			return "", c, nil // there is no configuration, and none is asked for
		}
		return "", c, fmt.Errorf("find the cluster %s: %w", p.cluster, err)
	}
	file, warnings := config.Load(path)
	if name = p.cluster; name == "" {
		name = file.Cluster
	}
	c, ok := file.Clusters[name]
	switch {
	case file.Broken:
		return "", c, fmt.Errorf("which cluster to talk to isn't known: %s: mend the file, or say --endpoint or --host",
			strings.Join(warnings, "; "))
	case name == "" || ok:
		return name, c, nil
	case len(file.Clusters) == 0:
		return "", c, fmt.Errorf("there is no cluster %q: %s names none; [clusters.%s] with an endpoint or a host would",
			name, path, name)
	}
	return "", c, fmt.Errorf("there is no cluster %q in %s: choose of %s", name, path,
		strings.Join(slices.Sorted(maps.Keys(file.Clusters)), ", "))
}

// given reports whether a flag was on the command line.
func (p *ownProcess) given(flag string) bool { return p.flags != nil && p.flags.Changed(flag) }

// use takes a place of a cluster for the daemon to talk to.
func (p *ownProcess) use(name string, at place) {
	p.endpoint, p.host, p.found, p.sought = at.endpoint, at.host, name, true
}

// place is where a daemon is reached, in one of two ways.
type place struct{ endpoint, host string }

func (p place) String() string { return p.endpoint + p.host }

func placesOf(c config.Cluster) []place {
	var list []place
	for _, e := range c.Endpoints {
		list = append(list, place{endpoint: e})
	}
	for _, h := range c.Hosts {
		list = append(list, place{host: h})
	}
	return list
}

// firstAnswer is the first place whose daemon answers, in their order.
func firstAnswer(cluster string, places []place) (place, error) {
	var why []string
	for _, at := range places {
		err := at.ask()
		if err == nil {
			return at, nil
		}
		why = append(why, err.Error())
	}
	return place{}, fmt.Errorf("no daemon of the cluster %s answers: %s", cluster, strings.Join(why, "; "))
}

// ask reports whether a daemon answers at a place.
func (p place) ask() error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	_, err = c.Version(ctx)
	return err
}

// dial returns a client of the daemon at a place.
func (p place) dial() (*client.Client, error) {
	if p.host == "" {
		return client.Dial(p.endpoint)
	}
	remote, err := sshdial.Parse(p.host)
	if err != nil {
		return nil, err
	}
	return client.DialMultiplexed(p.host, remote.Dial), nil // one ssh for all requests, as each costs a login
}

// clusterNames returns the names of the clusters in the configuration.
func clusterNames() []string {
	path, err := config.Path()
	if err != nil {
		return nil
	}
	file, _ := config.Load(path)
	return slices.Sorted(maps.Keys(file.Clusters))
}

// shellOn returns the command that opens a shell on a machine, over the way the console is on.
func (p *ownProcess) shellOn(machine string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	way := "--endpoint=" + p.endpoint
	if p.host != "" {
		way = "--host=" + p.host
	}
	cmd := exec.Command(self, way, "ssh", "--machine", machine)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, varEndpoint+"=") || strings.HasPrefix(v, varHost+"=") ||
			strings.HasPrefix(v, varCluster+"=")
	})
	return cmd
}
