package builtin

import (
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Version is what version() gives. It begins as PostgreSQL's own does, because
// clients read the number behind the name.
const Version = "PostgreSQL 15.0 (anywriter simnode)"

func addSystem(r *Registry) {
	stable := func(name string, result types.OID, fn func(c *Context) (types.Datum, error)) {
		r.function(Function{Name: name, Result: result, Volatility: Stable, Strict: true, Fn: func(c *Context, _ []types.Datum) (types.Datum, error) {
			return fn(c)
		}})
	}
	stable("version", types.Text, func(*Context) (types.Datum, error) { return Version, nil })
	stable("current_database", types.Name, func(c *Context) (types.Datum, error) { return c.Database, nil })
	stable("current_catalog", types.Name, func(c *Context) (types.Datum, error) { return c.Database, nil })
	stable("current_schema", types.Name, func(c *Context) (types.Datum, error) {
		if c.Catalog == nil {
			return nil, absent("current_schema")
		}
		if schema := c.Path.Creation(c.Catalog); schema != "" {
			return schema, nil
		}
		return nil, nil
	})
	stable("current_user", types.Name, func(c *Context) (types.Datum, error) { return c.User, nil })
	stable("session_user", types.Name, func(c *Context) (types.Datum, error) { return c.SessionUser, nil })
	r.function(Function{Name: "pg_get_userbyid", Args: []types.OID{types.OidOID}, Result: types.Name, Volatility: Stable, Strict: true, Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
		return catalog.RoleName(c.Roles, args[0].(uint32)), nil
	}})
	r.function(Function{Name: "to_regclass", Args: []types.OID{types.Text}, Result: types.RegclassOID, Volatility: Stable, Strict: true, Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
		if c.Catalog == nil {
			return nil, absent("to_regclass")
		}
		class, ok, err := c.Classes(c.Catalog).MaybeNamed(args[0].(string))
		if err != nil || !ok {
			return nil, err
		}
		return class, nil
	}})
	stable("pg_backend_pid", types.Int4, func(c *Context) (types.Datum, error) { return int32(c.BackendPID), nil })
	r.function(Function{Name: "pg_is_in_recovery", Result: types.Bool, Strict: true, Fn: func(*Context, []types.Datum) (types.Datum, error) {
		return false, nil // every node takes writes
	}})
	stable("txid_current", types.Int8, func(c *Context) (types.Datum, error) {
		if c.TxID == nil {
			return nil, absent("txid_current")
		}
		return asDatum(c.TxID(c.context()))
	})
	addSettings(r)
}

func addSettings(r *Registry) {
	read := func(c *Context, args []types.Datum) (types.Datum, error) {
		if c.Setting == nil {
			return nil, absent("current_setting")
		}
		if value, ok := c.Setting(args[0].(string)); ok {
			return value, nil
		}
		if len(args) == 2 && args[1].(bool) {
			return nil, nil
		}
		return nil, sqlerr.New("42704", "unrecognized configuration parameter \"%s\"", args[0])
	}
	r.function(Function{Name: "current_setting", Args: []types.OID{types.Text}, Result: types.Text, Volatility: Stable, Strict: true, Fn: read})
	r.function(Function{Name: "current_setting", Args: []types.OID{types.Text, types.Bool}, Result: types.Text, Volatility: Stable, Strict: true, Fn: read})
	r.function(Function{Name: "set_config", Args: []types.OID{types.Text, types.Text, types.Bool}, Result: types.Text, Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
		if c.SetSetting == nil {
			return nil, absent("set_config")
		}
		if args[0] == nil {
			return nil, sqlerr.New("22004", "SET requires parameter name")
		}
		value, _ := args[1].(string)
		local, _ := args[2].(bool)
		result, err := c.SetSetting(args[0].(string), value, local)
		if err != nil {
			return nil, err
		}
		return result, nil
	}})
}

// asDatum keeps a failed call from returning a typed zero beside the error.
func asDatum(v int64, err error) (types.Datum, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func addSequences(r *Registry) {
	add := func(name string, args []types.OID, fn func(c *Context, args []types.Datum) (int64, error)) {
		r.function(Function{Name: name, Args: args, Result: types.Int8, Strict: true, Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
			return asDatum(fn(c, args))
		}})
	}
	add("nextval", []types.OID{types.RegclassOID}, func(c *Context, args []types.Datum) (int64, error) {
		if c.Nextval == nil {
			return 0, absent("nextval")
		}
		return c.Nextval(c.context(), args[0].(types.Regclass).Name)
	})
	add("currval", []types.OID{types.RegclassOID}, func(c *Context, args []types.Datum) (int64, error) {
		if c.Currval == nil {
			return 0, absent("currval")
		}
		return c.Currval(args[0].(types.Regclass).Name)
	})
	add("lastval", nil, func(c *Context, _ []types.Datum) (int64, error) {
		if c.Lastval == nil {
			return 0, absent("lastval")
		}
		return c.Lastval()
	})
	set := func(c *Context, args []types.Datum) (int64, error) {
		if c.Setval == nil {
			return 0, absent("setval")
		}
		called := len(args) < 3 || args[2].(bool)
		return c.Setval(c.context(), args[0].(types.Regclass).Name, args[1].(int64), called)
	}
	add("setval", []types.OID{types.RegclassOID, types.Int8}, set)
	add("setval", []types.OID{types.RegclassOID, types.Int8, types.Bool}, set)
}
