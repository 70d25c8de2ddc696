package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"fleettop/daemon/keys"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make the cluster's key",
		Long: "The cluster's key is its one secret: it encrypts gossip, and signs the certificates that the daemons\n" +
			"mint for themselves. Every machine of the cluster has it, in a file only root can read.",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.keyGenerateCommand())
	return cmd
}

func (a *app) keyGenerateCommand() *cobra.Command {
	path := keys.DefaultFile
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make a key for a new cluster",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ring := keys.NewRing(keys.Generate())
			if err := ring.Create(path); err != nil {
				return err
			}
			if a.json() {
				return json.NewEncoder(a.out).Encode(map[string]string{"file": path, "id": ring.Primary().ID()})
			}
			fmt.Fprintf(a.out, "Made key %s in %s.\n"+
				"Start the first daemon here; then `fleettop join-command` prints the line that adds another machine.\n", ring.Primary().ID(), path)
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&path, "key-file", path, "where to put it")
	return cmd
}
