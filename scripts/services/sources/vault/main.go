// A Vault server over the modules of Vault itself, for tests: the core, its HTTP API, the KV secrets engine, and login by
// AppRole and by Kubernetes service account. Everything is kept in files, sealed at each start.
package main

//go:debug x509negativeserial=1

import (
	"flag"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	api "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

var engines = map[string]logical.Factory{"kv": kv.Factory}
var logins = map[string]logical.Factory{"approle": approle.Factory, "kubernetes": kubernetes.Factory}

// registry says which plugins are part of this program.
type registry struct{}

func (registry) of(kind consts.PluginType) map[string]logical.Factory {
	return map[consts.PluginType]map[string]logical.Factory{
		consts.PluginTypeSecrets: engines, consts.PluginTypeCredential: logins,
	}[kind]
}

func (r registry) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := r.of(kind)[name]
	return func() (interface{}, error) { return factory, nil }, found
}

func (r registry) Contains(name string, kind consts.PluginType) bool {
	return r.of(kind)[name] != nil
}

func (r registry) Keys(kind consts.PluginType) (names []string) {
	for name := range r.of(kind) {
		names = append(names, name)
	}
	return names
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func main() {
	address := flag.String("address", "127.0.0.1:8200", "host:port to listen on")
	folder := flag.String("folder", "", "where everything is kept")
	flag.Parse()
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stdout})

	storage, err := file.NewFileBackend(map[string]string{"path": *folder}, log)
	exitOn(log, err)
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical: storage, StorageType: "file", RedirectAddr: "http://" + *address, DisableMlock: true, Logger: log,
		BuiltinRegistry: registry{}, LogicalBackends: engines, CredentialBackends: logins,
	})
	exitOn(log, err)
	listener, err := net.Listen("tcp", *address)
	exitOn(log, err)
	server := &http.Server{Handler: api.Handler.Handler(&vault.HandlerProperties{Core: core})}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() { exitOn(log, server.Serve(listener)) }()
	<-ended
	exitOn(log, core.Shutdown())
}

func exitOn(log hclog.Logger, err error) {
	if err != nil {
		log.Error("cannot go on", "error", err)
		os.Exit(1)
	}
}
