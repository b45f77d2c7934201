// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {PayToken} from "../src/PayToken.sol";
import {CHANNELS} from "../src/Addresses.sol";
import {ChannelsFixture, Places} from "./ChannelsFixture.sol";

/// @notice Acts on four channels in any order, as the fuzzer says: two tokens, two receivers, with and without a payer's
/// authorizer. Whatever the hub refuses is let pass. It rebuilds the hub's whole state from events alone.
contract ChannelsActor is ChannelsFixture {
    struct Rebuilt {
        uint128 balance;
        uint128 totalClaimed;
        uint128 pending;
        uint40 initiatedAt;
        uint256 refundNonce;
        address receiver;
        address token;
        uint40 withdrawDelay;
    }

    uint256 public constant COUNT = 4;

    Channels.ChannelConfig[4] private _configs;
    bytes32[4] public ids;
    PayToken public other;
    uint256 private _salts;

    mapping(bytes32 id => Rebuilt) public rebuilt;
    mapping(address receiver => mapping(address token => uint128[2])) private _paid;
    mapping(address token => uint256) public gifts;
    mapping(uint256 act => uint256) public done; // times an act was not refused
    uint256 public fell; // times a cumulative total was seen to fall
    uint256 public moved; // times a refused act changed something

    function setUp() public override {
        super.setUp();
        other = new PayToken(address(this));
        other.drip(payer, 1_000_000e6);
        for (uint256 i = 0; i < COUNT; ++i) {
            _configs[i] = _config(i);
        }
        _configs[1].receiver = stranger;
        (_configs[2].token, _configs[2].payerAuthorizer) = (address(other), address(0));
        _configs[3].withdrawDelay = 3600;
        for (uint256 i = 0; i < COUNT; ++i) {
            ids[i] = _id(_configs[i]);
        }
    }

    function config(uint256 i) public view returns (Channels.ChannelConfig memory) {
        return _configs[i % COUNT];
    }

    function paid(address to, address of_) external view returns (uint128 claimed, uint128 settled) {
        return (_paid[to][of_][0], _paid[to][of_][1]);
    }

    function deposit(uint256 i, uint256 amount) external {
        Channels.ChannelConfig memory c = config(i);
        amount = _within(amount, 0, 100e6);
        bytes memory data = _authorisationIn(c, amount);
        _act(0, address(this), abi.encodeCall(hub.deposit, (c, uint128(amount), ERC3009_COLLECTOR, data)));
    }

    /// @dev Totals may be below, at or above what the voucher, and what the channel, allow.
    function claim(uint256 i, uint256 total, uint256 most, bool byReceiver) external {
        Channels.VoucherClaim[] memory rows = _rows(_anyRow(i, total, most));
        _act(1, byReceiver ? config(i).receiver : authorizer, abi.encodeCall(hub.claim, (rows)));
    }

    function claimTwo(uint256 i, uint256 j, uint256 total, uint256 most, uint256 key) external {
        Channels.VoucherClaim[] memory rows = _rows(_anyRow(i, total, most), _anyRow(j, most, most));
        bytes memory signature = _sign(key % 8 == 0 ? STRANGER_KEY : AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        _act(2, stranger, abi.encodeCall(hub.claimWithSignature, (rows, signature)));
    }

    function settle(uint256 i) external {
        _act(3, stranger, abi.encodeCall(hub.settle, (config(i).receiver, config(i).token)));
    }

    function announce(uint256 i, uint256 amount, bool byPayer) external {
        bytes memory call = abi.encodeCall(hub.initiateWithdraw, (config(i), uint128(_within(amount, 0, 100e6))));
        _act(4, byPayer ? payer : vouchers, call);
    }

    function goOut(uint256 i, bool byPayer) external {
        _act(5, byPayer ? payer : vouchers, abi.encodeCall(hub.finalizeWithdraw, (config(i))));
    }

    function refund(uint256 i, uint256 amount) external {
        _act(6, authorizer, abi.encodeCall(hub.refund, (config(i), uint128(_within(amount, 0, 100e6)))));
    }

    function refundSigned(uint256 i, uint256 amount, uint256 stale) external {
        Channels.ChannelConfig memory c = config(i);
        uint128 value = uint128(_within(amount, 0, 100e6));
        uint256 nonce = hub.refundNonce(_id(c)) + (stale % 4 == 0 ? 1 : 0);
        bytes memory signature = _refundSignature(c, value, nonce);
        _act(7, stranger, abi.encodeCall(hub.refundWithSignature, (c, value, nonce, signature)));
    }

    function claimAndRefund(uint256 i, uint256 total, uint256 amount) external {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(hub.claim, (_rows(_anyRow(i, total, total))));
        calls[1] = abi.encodeCall(hub.refund, (config(i), uint128(_within(amount, 0, 100e6))));
        _act(8, authorizer, abi.encodeCall(hub.multicall, (calls)));
    }

    function gift(uint256 i, uint256 amount) external {
        amount = _within(amount, 0, 10);
        PayToken of_ = PayToken(config(i).token);
        of_.drip(CHANNELS, amount);
        gifts[address(of_)] += amount;
    }

    function wait(uint256 time) external {
        vm.warp(places.getBlockTimestamp() + _within(time, 1, 1800));
    }

    /// @notice A hash over all that the hub knows and holds.
    function fingerprint() public view returns (bytes32 hash) {
        for (uint256 i = 0; i < COUNT; ++i) {
            (bytes32 id, address of_) = (ids[i], _configs[i].token);
            hash = keccak256(bytes.concat(hash, _read(abi.encodeCall(hub.channels, (id)))));
            hash = keccak256(bytes.concat(hash, _read(abi.encodeCall(hub.pendingWithdrawals, (id)))));
            hash = keccak256(bytes.concat(hash, _read(abi.encodeCall(hub.receivers, (_configs[i].receiver, of_)))));
            hash = keccak256(bytes.concat(hash, _read(abi.encodeCall(hub.refundNonce, (id)))));
            hash = keccak256(abi.encode(hash, PayToken(of_).balanceOf(CHANNELS)));
        }
    }

    function _read(bytes memory call) private view returns (bytes memory answer) {
        (, answer) = CHANNELS.staticcall(call);
    }

    function _anyRow(uint256 i, uint256 total, uint256 most) private view returns (Channels.VoucherClaim memory) {
        Channels.ChannelConfig memory c = config(i);
        (uint128 balance,) = hub.channels(_id(c));
        total = _within(total, 0, uint256(balance) + 2);
        most = total + _within(most, 0, 8);
        if (most % 7 == 0 && most > 0) --most;
        uint256 key = c.payerAuthorizer == address(0) ? PAYER_KEY : VOUCHER_KEY;
        return _rowBy(key, c, uint128(most), uint128(total));
    }

    function _authorisationIn(Channels.ChannelConfig memory c, uint256 amount) private returns (bytes memory) {
        bytes32 nonce = keccak256(abi.encode(_id(c), ++_salts));
        bytes32 signed = keccak256(abi.encode(RECEIVE, payer, ERC3009_COLLECTOR, amount, 0, type(uint256).max, nonce));
        bytes32 domain = PayToken(c.token).DOMAIN_SEPARATOR();
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, signed));
        return abi.encode(0, type(uint256).max, _salts, _sign(PAYER_KEY, digest));
    }

    function _act(uint256 act, address sender, bytes memory call) private {
        bytes32 before = fingerprint();
        places.recordLogs();
        vm.prank(sender);
        (bool success,) = CHANNELS.call(call);
        Places.Log[] memory logs = places.getRecordedLogs();
        if (!success) {
            if (fingerprint() != before) ++moved;
            return;
        }
        ++done[act];
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == CHANNELS) _replay(logs[i]);
        }
    }

    function _replay(Places.Log memory log) private {
        Rebuilt storage channel = rebuilt[log.topics[1]];
        bytes32 kind = log.topics[0];
        if (kind == Channels.ChannelCreated.selector) {
            Channels.ChannelConfig memory c = abi.decode(log.data, (Channels.ChannelConfig));
            (channel.receiver, channel.token, channel.withdrawDelay) = (c.receiver, c.token, c.withdrawDelay);
        } else if (kind == Channels.Deposited.selector) {
            (,, channel.balance) = abi.decode(log.data, (address, uint128, uint128));
        } else if (kind == Channels.Claimed.selector) {
            (address of_, uint128 amount, uint128 total) = abi.decode(log.data, (address, uint128, uint128));
            if (total < channel.totalClaimed + amount) ++fell;
            channel.totalClaimed = total;
            _paid[address(uint160(uint256(log.topics[3])))][of_][0] += amount;
        } else if (kind == Channels.Settled.selector) {
            address to = address(uint160(uint256(log.topics[1])));
            _paid[to][address(uint160(uint256(log.topics[2])))][1] += abi.decode(log.data, (uint128));
        } else if (kind == Channels.WithdrawInitiated.selector) {
            uint256 finalizableAt;
            (channel.pending, finalizableAt) = abi.decode(log.data, (uint128, uint256));
            channel.initiatedAt = uint40(finalizableAt - channel.withdrawDelay);
        } else if (kind == Channels.Withdrawn.selector) {
            (, channel.balance) = abi.decode(log.data, (uint128, uint128));
            (channel.pending, channel.initiatedAt) = (0, 0);
        } else if (kind == Channels.Refunded.selector) {
            uint128 amount;
            (amount, channel.balance, channel.refundNonce) = abi.decode(log.data, (uint128, uint128, uint256));
            channel.pending = channel.pending > amount ? channel.pending - amount : 0;
            if (channel.pending == 0) channel.initiatedAt = 0;
        } else {
            revert("an unknown event");
        }
    }
}

contract ChannelsInvariants is ChannelsFixture {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    ChannelsActor private _actor;

    function setUp() public override {
        _actor = new ChannelsActor();
        _actor.setUp();
        token = PayToken(_actor.config(0).token);
    }

    /// @notice Names the contract whose functions the fuzzer calls.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_actor);
    }

    /// @notice The set-up is not an act.
    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0].addr = address(_actor);
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = ChannelsFixture.setUp.selector;
    }

    /// @dev One invariant with all promises: the fuzzer runs each one's acts anew.
    function invariant_it_is_solvent_totals_never_fall_refusals_change_nothing_and_events_tell_all() public view {
        _holdsExactlyWhatIsFreeAndWhatIsClaimedAndNotSettled();
        _nothingClaimedLeavesAChannelAndTotalsNeverFall();
        _theEventsAloneGiveTheWholeState();
        vm.assertEq(_actor.moved(), 0, "a refused act changed something");
    }

    function _accounts() private view returns (address[2][3] memory) {
        return [[receiver, address(token)], [stranger, address(token)], [receiver, address(_actor.other())]];
    }

    function _holdsExactlyWhatIsFreeAndWhatIsClaimedAndNotSettled() private view {
        PayToken[2] memory tokens = [token, _actor.other()];
        address[2][3] memory accounts = _accounts();
        for (uint256 t = 0; t < 2; ++t) {
            uint256 answers = _actor.gifts(address(tokens[t]));
            for (uint256 i = 0; i < 4; ++i) {
                if (_actor.config(i).token != address(tokens[t])) continue;
                (uint128 balance, uint128 claimed) = hub.channels(_actor.ids(i));
                answers += balance - claimed;
            }
            for (uint256 i = 0; i < 3; ++i) {
                if (accounts[i][1] != address(tokens[t])) continue;
                (uint128 claimed, uint128 settled) = hub.receivers(accounts[i][0], accounts[i][1]);
                answers += claimed - settled;
            }
            vm.assertEq(tokens[t].balanceOf(CHANNELS), answers, "held");
        }
    }

    function _nothingClaimedLeavesAChannelAndTotalsNeverFall() private view {
        for (uint256 i = 0; i < 4; ++i) {
            (uint128 balance, uint128 claimed) = hub.channels(_actor.ids(i));
            vm.assertLe(claimed, balance, "claimed <= balance");
        }
        address[2][3] memory accounts = _accounts();
        for (uint256 i = 0; i < 3; ++i) {
            (uint128 claimed, uint128 settled) = hub.receivers(accounts[i][0], accounts[i][1]);
            vm.assertLe(settled, claimed, "settled <= claimed");
            uint256 sum = 0;
            for (uint256 j = 0; j < 4; ++j) {
                Channels.ChannelConfig memory config = _actor.config(j);
                if (config.receiver != accounts[i][0] || config.token != accounts[i][1]) continue;
                (, uint128 total) = hub.channels(_actor.ids(j));
                sum += total;
            }
            vm.assertEq(claimed, sum, "a receiver's claims are its channels'");
        }
        vm.assertEq(_actor.fell(), 0, "totals never fall");
    }

    function _theEventsAloneGiveTheWholeState() private view {
        for (uint256 i = 0; i < 4; ++i) {
            bytes32 id = _actor.ids(i);
            (uint128 balance, uint128 claimed, uint128 amount, uint40 since, uint256 nonce,,,) = _actor.rebuilt(id);
            (uint128 hasBalance, uint128 hasClaimed) = hub.channels(id);
            (uint128 hasAmount, uint40 hasSince) = hub.pendingWithdrawals(id);
            vm.assertEq(balance, hasBalance, "balance");
            vm.assertEq(claimed, hasClaimed, "claimed");
            vm.assertEq(amount, hasAmount, "announced");
            vm.assertEq(since, hasSince, "since");
            vm.assertEq(nonce, hub.refundNonce(id), "nonce");
        }
        address[2][3] memory accounts = _accounts();
        for (uint256 i = 0; i < 3; ++i) {
            (uint128 claimed, uint128 settled) = _actor.paid(accounts[i][0], accounts[i][1]);
            (uint128 hasClaimed, uint128 hasSettled) = hub.receivers(accounts[i][0], accounts[i][1]);
            vm.assertEq(claimed, hasClaimed, "receiver's claimed");
            vm.assertEq(settled, hasSettled, "receiver's settled");
        }
    }

    /// @notice The acts must come about, or the promises above would hold of nothing.
    function test_the_actor_reaches_every_act() public {
        for (uint256 i = 0; i < 4; ++i) {
            _actor.deposit(i, 50e6);
            _actor.claim(i, 10e6, 1, i % 2 == 0);
        }
        _actor.claimTwo(0, 3, 30e6, 20e6, 1);
        _actor.claimAndRefund(1, 20e6, 1);
        _actor.settle(0);
        _actor.announce(2, 5e6, true);
        _actor.refund(2, 1e6);
        _actor.refundSigned(2, 1e6, 1);
        _actor.wait(1000);
        _actor.goOut(2, true);
        _actor.gift(0, 3);
        for (uint256 act = 0; act < 9; ++act) {
            vm.assertTrue(_actor.done(act) != 0);
        }
        invariant_it_is_solvent_totals_never_fall_refusals_change_nothing_and_events_tell_all();
    }
}
