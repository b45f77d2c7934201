// What a dapp does with viem on the served ledger; prints what it saw as one JSON object.
// node viem_client.cjs URL KEY TOKEN SINK
const { createPublicClient, createWalletClient, defineChain, http, parseAbi } = require("viem");
const { privateKeyToAccount } = require("viem/accounts");
const [url, key, token, sink] = process.argv.slice(2);
const chain = defineChain({ id: 1919902817, name: "roda", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [url] } } });
const transport = http(url, { batch: true });
const account = privateKeyToAccount(key);
const open = createPublicClient({ chain, transport, pollingInterval: 20 });
const wallet = createWalletClient({ chain, transport, account });
const abi = parseAbi(["function drip(address,uint256)", "function balanceOf(address) view returns (uint256)",
  "function transfer(address,uint256) returns (bool)", "event Transfer(address indexed from, address indexed to, uint256 value)",
  "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)"]);
(async () => {
  const out = { chainId: await open.getChainId() };
  const seen = [];
  const stop = open.watchContractEvent({ address: token, abi, eventName: "Transfer", poll: true,
    onLogs: (logs) => seen.push(...logs.map((log) => log.args.value.toString())) });
  await new Promise((done) => setTimeout(done, 100));
  const hash = await wallet.writeContract({ address: token, abi, functionName: "drip", args: [account.address, 900n] });
  out.status = (await open.waitForTransactionReceipt({ hash })).status;
  const [balance, block, ether] = await Promise.all([
    open.readContract({ address: token, abi, functionName: "balanceOf", args: [account.address] }),
    open.getBlock({ includeTransactions: true }), open.getBalance({ address: account.address, blockNumber: 0n })]);
  Object.assign(out, { balance: balance.toString(), inBlock: block.transactions[0].hash === hash, ether: ether.toString() });
  const sent = await wallet.sendTransaction({ to: sink, value: 5n });
  await open.waitForTransactionReceipt({ hash: sent });
  out.sink = (await open.getBalance({ address: sink })).toString();
  try { await open.simulateContract({ account, address: token, abi, functionName: "transfer", args: [sink, 901n] }); }
  catch (error) { out.refused = error.walk((one) => one.data?.errorName)?.data?.errorName; }
  try { await wallet.sendTransaction({ to: sink, value: 1n, nonce: 0, gas: 21000n }); }
  catch (error) { out.low = error.walk((one) => one.name.startsWith("Nonce"))?.name; }
  try { await wallet.sendTransaction({ to: sink, value: 1n, nonce: 99, gas: 21000n }); }
  catch (error) { out.high = error.walk((one) => one.name.startsWith("Nonce"))?.name; }
  try { await wallet.sendTransaction({ to: sink, value: 10n ** 30n, gas: 21000n }); }
  catch (error) { out.funds = error.walk((one) => one.name.startsWith("Insufficient"))?.name; }
  out.simulated = (await open.simulateCalls({ account, calls: [{ to: token, abi, functionName: "transfer", args: [sink, 3n] },
    { to: sink, value: 1n }] })).results.map((one) => one.status);
  for (let n = 0; n < 100 && seen.length === 0; n++) await new Promise((done) => setTimeout(done, 20));
  stop();
  out.seen = seen;
  console.log(JSON.stringify(out));
})().catch((error) => { console.error(error); process.exit(1); });
