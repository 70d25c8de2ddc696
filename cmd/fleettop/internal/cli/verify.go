package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

// verification is what verify found of a file.
type verification struct {
	File  string     `json:"file"`
	Unit  string     `json:"unit"`
	OK    bool       `json:"ok"`
	Text  string     `json:"text"`
	Error *api.Error `json:"error,omitempty"` // unless it is OK
	local *units.File
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check unit files, and whether they are the ones submitted",
		Long: "Check that unit files are valid, and that the cluster has the same ones.\n" +
			"Where no daemon answers, only the first is checked.",
		Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			list := make([]verification, 0, len(args))
			for _, path := range args {
				v, err := a.verify(path)
				if err != nil {
					return err
				}
				list = append(list, v)
			}
			err := a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				for i := range list {
					if err := list[i].compare(ctx, c); err != nil {
						return err
					}
				}
				return nil
			})
			if away := (*client.UnreachableError)(nil); errors.As(err, &away) {
				fmt.Fprintf(a.err, "Not compared with the cluster's: %s.\n", away.Sentence())
			} else if err != nil {
				return err
			}
			return a.printVerifications(list)
		},
	}
}

func (a *app) printVerifications(list []verification) error {
	bad := false
	for _, v := range list {
		bad = bad || !v.OK
		switch {
		case !v.OK:
			fmt.Fprintln(a.err, v.Text)
		case !a.json():
			fmt.Fprintln(a.out, v.Text)
		}
	}
	if a.json() {
		for i, v := range list {
			if !v.OK && v.Error == nil {
				list[i].Error = failureText(api.CodeInvalid, v.Text)
			}
		}
		if err := print.JSON(a.out, list); err != nil {
			return err
		}
	}
	if bad {
		return errReported
	}
	return nil
}

// verify checks a file by itself. Its error is a wrong command line.
func (a *app) verify(path string) (verification, error) {
	v := verification{File: path, Unit: unitfiles.Name(filepath.Base(path))}
	name, err := units.ParseName(v.Unit)
	if err != nil {
		v.Text = fmt.Sprintf("%s: %v", path, err)
		return v, nil
	}
	file, err := a.env.unitFile(path)
	if usage := (usageError{}); errors.As(err, &usage) {
		return v, err
	}
	if err == nil {
		if err = units.Validate(name, file); err != nil {
			err = unitfiles.InFile(path, err)
		}
	}
	if err != nil {
		v.Text = err.Error()
		return v, nil
	}
	v.OK, v.local = true, file
	v.Text = fmt.Sprintf("Unit %s is valid", v.Unit)
	return v, nil
}

func (v *verification) fail(e *api.Error) { v.OK, v.Text, v.Error = false, e.Error(), e }

// compare checks a valid file against the one submitted.
func (v *verification) compare(ctx context.Context, c *client.Client) error {
	if !v.OK {
		return nil
	}
	u, err := c.Unit(ctx, v.Unit)
	if refusal, ok := err.(*api.Error); ok && refusal.Code == api.CodeNotFound {
		v.fail(api.Refuse(api.CodeNotFound, "`fleettop submit "+v.File+"`",
			"Unit %s is valid, but not submitted", v.Unit))
		return nil
	}
	if err != nil {
		return err
	}
	if u.Hash != v.local.Hash() {
		v.fail(api.Refuse(api.CodeConflict, "`fleettop submit --replace "+v.File+"` puts yours in its place",
			"Unit %s differs from the one submitted (hash %.7s, submitted %.7s)", v.Unit, v.local.Hash(), u.Hash))
		return nil
	}
	v.Text = fmt.Sprintf("Unit %s verified successfully", v.Unit)
	return nil
}
