// A Vault server over the modules of Vault itself, for tests: the core, its HTTP API, the KV secrets engine, and login by
// AppRole and by Kubernetes service account. Everything is kept in files, sealed at each start.
package main

//go:debug x509negativeserial=1

import (
	"context"
	"flag"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	api "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
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

// longNames lets names be longer than file names may be: the rest of one lies in a folder named after its beginning.
type longNames struct{ physical.Backend }

const fits, more = 200, "+"

func fold(key string) string {
	elements := strings.Split(key, "/")
	for i, element := range elements {
		folded := ""
		for ; len(element) > fits; element = element[fits:] {
			folded += element[:fits] + more + "/"
		}
		elements[i] = folded + element
	}
	return strings.Join(elements, "/")
}

func (b longNames) Put(ctx context.Context, entry *physical.Entry) error {
	return b.Backend.Put(ctx, &physical.Entry{Key: fold(entry.Key), Value: entry.Value, SealWrap: entry.SealWrap, ValueHash: entry.ValueHash})
}

func (b longNames) Get(ctx context.Context, key string) (*physical.Entry, error) {
	entry, err := b.Backend.Get(ctx, fold(key))
	if entry != nil {
		entry.Key = key
	}
	return entry, err
}

func (b longNames) Delete(ctx context.Context, key string) error {
	return b.Backend.Delete(ctx, fold(key))
}

func (b longNames) List(ctx context.Context, prefix string) ([]string, error) {
	return b.list(ctx, fold(prefix))
}

func (b longNames) list(ctx context.Context, prefix string) (names []string, err error) {
	found, err := b.Backend.List(ctx, prefix)
	for _, name := range found {
		beginning, folded := strings.CutSuffix(name, more+"/")
		if !folded {
			names = append(names, name)
			continue
		}
		rests, err := b.list(ctx, prefix+name)
		if err != nil {
			return nil, err
		}
		for _, rest := range rests {
			names = append(names, beginning+rest)
		}
	}
	return names, err
}

func main() {
	address := flag.String("address", "127.0.0.1:8200", "host:port to listen on")
	tlsAddress := flag.String("tls-address", "127.0.0.1:8201", "host:port to listen on with TLS")
	certificate := flag.String("certificate", "", "file of the certificate")
	key := flag.String("key", "", "file of its private key")
	folder := flag.String("folder", "", "where everything is kept")
	flag.Parse()
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stdout})

	storage, err := file.NewFileBackend(map[string]string{"path": *folder}, log)
	exitOn(log, err)
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical: longNames{storage}, StorageType: "file", RedirectAddr: "http://" + *address, DisableMlock: true, Logger: log,
		BuiltinRegistry: registry{}, LogicalBackends: engines, CredentialBackends: logins,
	})
	exitOn(log, err)
	plain, err := net.Listen("tcp", *address)
	exitOn(log, err)
	secure, err := net.Listen("tcp", *tlsAddress)
	exitOn(log, err)
	server := &http.Server{Handler: api.Handler.Handler(&vault.HandlerProperties{Core: core})}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() { exitOn(log, server.Serve(plain)) }()
	go func() { exitOn(log, server.ServeTLS(secure, *certificate, *key)) }()
	<-ended
	exitOn(log, core.Shutdown())
}

func exitOn(log hclog.Logger, err error) {
	if err != nil {
		log.Error("cannot go on", "error", err)
		os.Exit(1)
	}
}
