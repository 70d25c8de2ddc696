package config

import (
	"fmt"
	"maps"
	"slices"
)

// Cluster is where a cluster's daemons are reached. The first that answers is used.
type Cluster struct {
	Endpoints []string // as --endpoint has them
	Hosts     []string // as --host has them
}

// setClusters takes the clusters that are right, and returns what is wrong with the others.
func (c *Config) setClusters(value any) (faults []error) {
	const shape = "clusters.%s is a table: write [clusters.%s], and below it endpoint = \"…\" or host = \"ssh://…\""
	all, ok := value.(map[string]any)
	if !ok {
		return []error{fmt.Errorf(shape, "NAME", "NAME")}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		table, ok := all[name].(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf(shape, name, name))
			continue
		}
		var cluster Cluster
		whole := true
		for _, key := range slices.Sorted(maps.Keys(table)) {
			texts, right := textsOf(table[key])
			switch {
			case key != "endpoint" && key != "host":
				faults = append(faults, fmt.Errorf("clusters.%s has no %q: it has endpoint and host", name, key))
			case !right:
				faults = append(faults, fmt.Errorf("clusters.%s.%s is a text, or a list of texts", name, key))
				whole = false
			case key == "endpoint":
				cluster.Endpoints = texts
			default:
				cluster.Hosts = texts
			}
		}
		if len(cluster.Endpoints)+len(cluster.Hosts) == 0 {
			if whole {
				faults = append(faults, fmt.Errorf("clusters.%s has neither an endpoint nor a host: give one", name))
			}
			continue
		}
		if c.Clusters == nil {
			c.Clusters = map[string]Cluster{}
		}
		c.Clusters[name] = cluster
	}
	return faults
}
