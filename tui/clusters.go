package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"
)

// SwitchError ends a console whose person wants to see another cluster.
type SwitchError struct{ Cluster string }

// Error implements error.
func (e *SwitchError) Error() string { return "switch to cluster " + e.Cluster }

// switchCluster is the command that shows another cluster. The console ends for
// it and is opened anew, so that nothing of one cluster is taken for the other's.
func (s *shell) switchCluster(args []string) tea.Cmd {
	names := s.clusterNames()
	switch {
	case s.remote:
		s.say("This console shows the cluster it runs in. On your own computer, --cluster chooses one of those "+
			"that your config.toml names.", true)
	case len(names) == 0:
		s.say("No cluster has a name: write [clusters.NAME] into ~/.config/fleettop/config.toml, with an endpoint or a host.",
			true)
	case len(args) == 0 && s.cluster != "":
		s.say("This is the cluster "+s.cluster+", of "+join(names, ", ")+".", false)
	case len(args) != 1:
		s.say("Name a cluster: "+join(names, ", ")+".", true)
	case args[0] == s.cluster:
		s.say("This is the cluster "+s.cluster+" already.", false)
	case !slices.Contains(names, args[0]):
		s.say("There is no cluster "+args[0]+" in config.toml. There are: "+join(names, ", ")+".", true)
	default:
		s.host.Switch(args[0])
	}
	return nil
}

// clusterNames are the clusters that the person's configuration names.
func (s *shell) clusterNames() []string {
	if s.clusters == nil {
		return nil
	}
	return s.clusters()
}
