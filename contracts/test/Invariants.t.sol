// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bonds} from "../src/Bonds.sol";
import {DaoToken} from "../src/DaoToken.sol";
import {Registry} from "../src/Registry.sol";
import {Rewards} from "../src/Rewards.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice Acts on one DAO in any order, as the fuzzer says, and keeps its own books. Its roots may pay and issue more
/// than they say: the promises must hold whatever the operator posts. Every act is tried, allowed or not; one that is
/// refused must leave everything as it was. Acts that would come to nothing are the minority, so that turns come about.
contract Actor is DaoFixture {
    uint256 public refused; // acts that were refused
    uint256 public done; // and acts that were not
    uint256 public leaked; // refused acts that changed something
    uint256 public fell; // times a claimed amount was seen to fall
    uint256 public slashedTwice; // contributions that were slashed a second time
    bool public lied; // a final root promised more than it said
    bool public setBack; // a final root was disabled
    uint64 public furthest; // the highest turn that was ever final

    uint256 public funded; // what the treasury paid in
    uint256 public returned; // what came back
    uint256 public paidOut; // what claims were seen to pay
    uint256 public bonded; // what owners have standing
    uint256 public slashed; // what the treasury got of it
    uint256 public contributions;
    uint64 public pools; // the highest turn with a pool

    /// @dev What a turn's trees say: payouts and tokens of ada and bob, and the slashes of the newest contributions.
    struct Trees {
        uint256[2] totals;
        uint256[2] tokens;
        bytes32[2] ids;
        uint256[2] slashes;
        bool lie;
    }

    uint64 private _newest;
    mapping(uint64 turn => Trees) private _trees;
    mapping(bytes32 contribution => bool) private _slashed;

    function _owners() private view returns (address[2] memory) {
        return [ada, bob];
    }

    /// @dev Everything a refused act could have changed, in one word.
    function fingerprint() public view returns (bytes32) {
        bytes memory money = abi.encode(
            token.balanceOf(address(treasury)),
            token.balanceOf(address(rewards)),
            token.balanceOf(address(bonds)),
            token.balanceOf(ada),
            token.balanceOf(bob),
            token.balanceOf(operator),
            token.balanceOf(stranger),
            bonds.creditOf(operator),
            bonds.creditOf(stranger),
            bonds.creditOf(address(treasury))
        );
        bytes memory turns = abi.encode(
            rewards.lastTurn(),
            rewards.finalTurn(),
            rewards.finalRoot(),
            rewards.totalFunded(),
            rewards.totalOwed(),
            rewards.totalIssued(),
            rewards.rootOf(rewards.lastTurn()),
            rewards.claimed(ada),
            rewards.claimed(bob)
        );
        bytes memory votes = abi.encode(
            daoToken.totalSupply(), daoToken.claimed(ada), daoToken.claimed(bob), daoToken.balanceOf(founder)
        );
        return keccak256(abi.encode(money, turns, votes));
    }

    function _try(address sender, address target, bytes memory data) private returns (bool went) {
        bytes32 before = fingerprint();
        uint256[4] memory had =
            [rewards.claimed(ada), rewards.claimed(bob), daoToken.claimed(ada), daoToken.claimed(bob)];
        vm.prank(sender);
        (went,) = target.call(data);
        if (went) ++done;
        else ++refused;
        if (!went && fingerprint() != before) ++leaked;
        if (rewards.claimed(ada) < had[0] || rewards.claimed(bob) < had[1]) ++fell;
        if (daoToken.claimed(ada) < had[2] || daoToken.claimed(bob) < had[3]) ++fell;
        uint64 newest = rewards.finalTurn();
        if (newest > furthest) furthest = newest;
        if (newest < _newest) setBack = true;
        _newest = newest;
        if (newest != 0 && _trees[newest].lie) lied = true;
    }

    function bond(uint256 amount, bool adas) external {
        bytes32 id = bytes32(contributions + 1);
        (uint256 key, address owner) = adas ? (ADA_KEY, ada) : (BOB_KEY, bob);
        amount = _within(amount, 0, token.balanceOf(owner) / 4 + 1);
        bytes memory signature = _bondSignature(key, id, amount);
        bytes memory data = abi.encodeCall(bonds.postBond, (id, owner, amount, 0, type(uint256).max, signature));
        if (!_try(stranger, address(bonds), data)) return;
        ++contributions;
        bonded += amount;
    }

    function fund(uint256 other, uint256 amount) external {
        uint64 turn = uint64(other % 8 == 0 ? _within(other, 0, pools) : pools + 1);
        amount = _within(amount, 0, 100e6);
        if (!_try(operator, address(treasury), abi.encodeCall(treasury.fundPool, (turn, amount)))) return;
        if (turn > pools) pools = turn;
        funded += amount;
    }

    /// @dev One in eight roots lies: its leaves promise up to twice what it says it pays and issues.
    function post(uint256 paid, uint256 issued, uint256 share, uint256 lie, uint256 slash) external {
        uint64 turn = rewards.lastTurn() + 1;
        uint256 unowed = rewards.totalFunded() - rewards.totalOwed();
        paid = _within(paid, 0, unowed + unowed / 16);
        issued = _within(issued, 0, PER_TURN + PER_TURN / 16);
        Trees memory trees = _trees[turn - 1];
        trees.lie = lie % 8 == 0;
        uint256 more = trees.lie ? _within(lie / 8, 1, 100e6) : 0;
        uint256 first = _within(share, 0, paid + more);
        (trees.totals[0], trees.totals[1]) = (trees.totals[0] + first, trees.totals[1] + paid + more - first);
        first = _within(share, 0, issued + more);
        (trees.tokens[0], trees.tokens[1]) = (trees.tokens[0] + first, trees.tokens[1] + issued + more - first);
        for (uint256 i = 0; i < 2; ++i) {
            trees.ids[i] = bytes32(contributions > i ? contributions - i : 0);
            uint256 held = bonds.bondOf(trees.ids[i], _ownerOf(trees.ids[i]));
            trees.slashes[i] = _within(slash, 0, held + (trees.lie ? 1 : 0));
        }
        if (!_try(operator, address(rewards), _posting(turn, trees, paid, issued))) return;
        _trees[turn] = trees;
    }

    function _ownerOf(bytes32 id) private view returns (address) {
        return bonds.bondOf(id, ada) != 0 ? ada : bob;
    }

    function _posting(uint64 turn, Trees memory trees, uint256 paid, uint256 issued)
        private
        view
        returns (bytes memory)
    {
        bytes32 payouts = _pair(
            rewards.payoutLeaf(turn, ada, trees.totals[0]), rewards.payoutLeaf(turn, bob, trees.totals[1])
        );
        bytes32 tokens =
            _pair(daoToken.tokenLeaf(turn, ada, trees.tokens[0]), daoToken.tokenLeaf(turn, bob, trees.tokens[1]));
        return
            abi.encodeCall(
                rewards.postRoot, (turn, payouts, _slashRoot(turn, trees), tokens, paid, paid, issued, "file")
            );
    }

    /// @dev Both owners are in the tree under each id, since either may hold the bond.
    function _slashRoot(uint64 turn, Trees memory trees) private view returns (bytes32) {
        return _pair(_slashPair(turn, trees, 0), _slashPair(turn, trees, 1));
    }

    function _slashPair(uint64 turn, Trees memory trees, uint256 i) private view returns (bytes32) {
        return _pair(
            bonds.slashLeaf(turn, trees.ids[i], ada, trees.slashes[i]),
            bonds.slashLeaf(turn, trees.ids[i], bob, trees.slashes[i])
        );
    }

    function settle(uint256 turns, uint256 which, bool adas) external {
        uint64 turn = _turn(turns);
        which = which % 2;
        Trees memory trees = _trees[turn];
        (address owner, address other) = adas ? (ada, bob) : (bob, ada);
        (bytes32 id, uint256 slash) = (trees.ids[which], trees.slashes[which]);
        bytes32[] memory proof = new bytes32[](2);
        proof[0] = bonds.slashLeaf(turn, id, other, slash);
        proof[1] = _slashPair(turn, trees, 1 - which);
        uint256 held = bonds.bondOf(id, owner);
        bytes memory data = abi.encodeCall(bonds.settleBond, (turn, id, owner, slash, proof));
        if (!_try(stranger, address(bonds), data)) return;
        bonded -= held;
        slashed += slash;
        if (_slashed[id]) ++slashedTwice;
        _slashed[id] = true;
    }

    /// @dev The newest final turn, or now and then another.
    function _turn(uint256 other) private view returns (uint64) {
        return other % 4 == 0 ? uint64(_within(other / 4, 0, rewards.lastTurn() + 1)) : rewards.finalTurn();
    }

    function reclaim(uint256 id, bool adas) external {
        bytes32 contribution = bytes32(_within(id, 0, contributions));
        address owner = adas ? ada : bob;
        uint256 held = bonds.bondOf(contribution, owner);
        if (_try(stranger, address(bonds), abi.encodeCall(bonds.reclaimBond, (contribution, owner)))) bonded -= held;
    }

    /// @dev A turn that nobody disputes, so that lines of turns grow long.
    function wholeTurn(uint256 amount, uint256 share, uint256 lie, uint256 slash) external {
        this.bond(amount, share % 2 == 0);
        this.fund(1, amount);
        this.post(amount / 2, amount / 3, share, lie, slash);
        vm.warp(block.timestamp + WINDOW);
        this.finalize();
        this.settle(1, 0, share % 2 == 0);
        this.claim(1, lie % 2 == 0);
    }

    /// @dev Half a window or two, now and then half a year.
    function wait(uint256 time) external {
        vm.warp(block.timestamp + (time % 16 == 0 ? 180 days : _within(time, WINDOW / 2, 2 * WINDOW)));
    }

    function dispute(uint256 other) external {
        uint64 turn = other % 2 == 0 ? rewards.lastTurn() : _turn(other);
        _try(stranger, address(rewards), abi.encodeCall(rewards.dispute, (turn, "recomputed")));
    }

    function resolve(bool rootsWereWrong) external {
        _try(address(timelock), address(rewards), abi.encodeCall(rewards.resolve, (rewards.lastTurn(), rootsWereWrong)));
    }

    function finalize() external {
        _try(stranger, address(rewards), abi.encodeCall(rewards.finalize, (rewards.lastTurn())));
    }

    function disable(uint64 turn, uint256 often) external {
        if (often % 8 != 0) return; // or no line of turns would grow long
        turn = uint64(_within(turn, 0, rewards.lastTurn()));
        _try(address(timelock), address(rewards), abi.encodeCall(rewards.disable, (turn)));
    }

    function withdraw(uint256 who) external {
        address[3] memory accounts = [operator, stranger, address(treasury)];
        _try(stranger, address(bonds), abi.encodeCall(bonds.withdrawCredit, (accounts[who % 3])));
    }

    function takeBack(uint256 amount, uint256 often) external {
        if (often % 4 != 0) return; // or no pool would be spent
        amount = _within(amount, 0, rewards.totalFunded() - rewards.totalOwed() + 1);
        bytes memory data = abi.encodeCall(rewards.returnUnowed, (amount));
        if (_try(address(timelock), address(rewards), data)) returned += amount;
    }

    function claim(uint256 turns, bool forAda) external {
        uint64 turn = _turn(turns);
        (uint256 i, address account, address other) = forAda ? (0, ada, bob) : (1, bob, ada);
        uint256[2] memory totals = _trees[turn].totals;
        bytes32[] memory proof = _one(rewards.payoutLeaf(turn, other, totals[1 - i]));
        uint256 balance = token.balanceOf(account);
        _try(stranger, address(rewards), abi.encodeCall(rewards.claim, (turn, account, totals[i], proof)));
        paidOut += token.balanceOf(account) - balance;
    }

    function claimTokens(uint256 turns, bool forAda) external {
        uint64 turn = _turn(turns);
        (uint256 i, address account, address other) = forAda ? (0, ada, bob) : (1, bob, ada);
        uint256[2] memory totals = _trees[turn].tokens;
        bytes32[] memory proof = _one(daoToken.tokenLeaf(turn, other, totals[1 - i]));
        _try(stranger, address(daoToken), abi.encodeCall(daoToken.claim, (turn, account, totals[i], proof)));
    }

    function delegate(uint256 from, uint256 to) external {
        address[4] memory accounts = [founder, ada, bob, address(0)];
        _try(accounts[from % 3], address(daoToken), abi.encodeWithSignature("delegate(address)", accounts[to % 4]));
    }

    function move(uint256 from, uint256 to, uint256 amount) external {
        address[3] memory accounts = [founder, ada, bob];
        amount = _within(amount, 0, daoToken.balanceOf(accounts[from % 3]) + 1);
        _try(accounts[from % 3], address(daoToken), abi.encodeCall(daoToken.transfer, (accounts[to % 3], amount)));
    }

    /// @dev For the invariants, which live in another contract.
    function parts() external view returns (Rewards, Bonds, DaoToken) {
        return (rewards, bonds, daoToken);
    }

    /// @notice What must hold after every act.
    function check() external view {
        _checkPools();
        _checkBonds();
        _checkMoney();
        _checkSupply();
        _checkVotes();
        vm.assertEq(fell, 0, "cumulative amounts never fall");
        vm.assertEq(leaked, 0, "a refused act changes nothing");
        vm.assertEq(slashedTwice, 0, "a fault is slashed once");
    }

    function _checkPools() private view {
        vm.assertEq(rewards.totalFunded(), funded - returned, "funded");
        vm.assertEq(rewards.claimed(ada) + rewards.claimed(bob), paidOut, "claimed");
        vm.assertEq(token.balanceOf(address(rewards)), funded - returned - paidOut, "what came in and did not go out");
        vm.assertLe(rewards.totalOwed(), rewards.totalFunded(), "owed <= funded");
        if (lied) return;
        // While no lie was accepted and none that was paid from was taken back, everybody can claim what she is owed.
        uint256[2] memory totals = _trees[rewards.finalTurn()].totals;
        uint256 open;
        for (uint256 i = 0; i < 2; ++i) {
            uint256 had = rewards.claimed(_owners()[i]);
            if (totals[i] > had) open += totals[i] - had;
        }
        uint256 owed = rewards.rootOf(rewards.finalTurn()).owed;
        vm.assertEq(totals[0] + totals[1], owed, "the final root's leaves are what it owes");
        if (!setBack) {
            vm.assertLe(open, token.balanceOf(address(rewards)), "all claims can be paid");
            vm.assertLe(paidOut, owed, "claimed <= owed");
        }
    }

    function _checkBonds() private view {
        uint256 standing;
        for (uint256 i = 1; i <= contributions; ++i) {
            standing += bonds.bondOf(bytes32(i), ada) + bonds.bondOf(bytes32(i), bob);
        }
        vm.assertEq(standing, bonded, "bonds");
        uint256 atStake;
        if (rewards.lastTurn() > rewards.finalTurn()) {
            atStake = rewards.rootOf(rewards.lastTurn()).challenger == address(0) ? ROOT_BOND : 2 * ROOT_BOND;
        }
        uint256 credits = bonds.creditOf(operator) + bonds.creditOf(stranger) + bonds.creditOf(address(treasury));
        vm.assertEq(token.balanceOf(address(bonds)), standing + atStake + credits, "what bonds answers for");
    }

    function _checkMoney() private view {
        uint256 sum = token.balanceOf(address(treasury)) + token.balanceOf(address(rewards))
            + token.balanceOf(address(bonds)) + token.balanceOf(ada) + token.balanceOf(bob) + token.balanceOf(operator)
            + token.balanceOf(stranger);
        vm.assertEq(sum, token.totalSupply(), "money is conserved");
    }

    function _checkSupply() private view {
        uint256 supply = daoToken.totalSupply();
        vm.assertEq(supply, FOUNDERS + daoToken.claimed(ada) + daoToken.claimed(bob), "minted");
        vm.assertLe(supply, FOUNDERS + daoToken.schedule(furthest), "supply <= the rule");
        vm.assertLe(supply, CAP, "supply <= cap");
        if (!setBack) {
            (,, uint256 issued) = rewards.finalTokenRoot(furthest);
            vm.assertLe(supply, FOUNDERS + issued, "supply <= what final turns issued");
        }
    }

    function _checkVotes() private view {
        address[3] memory accounts = [founder, ada, bob];
        uint256 votes;
        uint256 delegated;
        uint256 held;
        for (uint256 i = 0; i < 3; ++i) {
            votes += daoToken.getVotes(accounts[i]);
            held += daoToken.balanceOf(accounts[i]);
            if (daoToken.delegates(accounts[i]) != address(0)) delegated += daoToken.balanceOf(accounts[i]);
        }
        vm.assertEq(votes, delegated, "votes are those of delegated tokens");
        vm.assertEq(held, daoToken.totalSupply(), "tokens are conserved");
    }
}

/// @notice Runs turns and batches in any order, and keeps its own log.
contract Clerk is DaoFixture {
    uint64 public records;
    uint64 public batches;
    uint64 public open; // turns that are open
    bytes32 public line;
    uint256 public revocations;
    bytes32[] private _policies;
    uint64[] private _firstPlaces;
    uint32[] private _versions;

    function setUp() public override {
        super.setUp();
        _policies.push(POLICY);
    }

    function _try(address sender, bytes memory data) private returns (bool went) {
        vm.prank(sender);
        (went,) = address(registry).call(data);
    }

    function openTurn(uint64 turn) external {
        turn = uint64(_within(turn, 0, 2)) + registry.lastTurn();
        if (!_try(operator, abi.encodeCall(registry.openTurn, (turn, "secret")))) return;
        ++open;
        _firstPlaces.push(records);
        _versions.push(uint32(_policies.length));
    }

    function register(uint256 root, uint32 contributions, uint32 held) external {
        contributions = uint32(_within(contributions, 0, 1000));
        held = uint32(_within(held, 0, 100_000));
        bytes memory data =
            abi.encodeCall(registry.registerBatch, (registry.lastTurn(), bytes32(root % 64), contributions, held));
        if (!_try(operator, data)) return;
        ++batches;
        records += held;
    }

    function close(uint64 turn) external {
        turn = uint64(_within(turn, 0, registry.lastTurn()));
        if (_try(operator, abi.encodeCall(registry.closeTurn, (turn)))) --open;
    }

    function record(uint64 turn, bool fromHead) external {
        turn = uint64(_within(turn, 0, registry.lastTurn()));
        bytes32 parent = fromHead ? registry.head() : bytes32("another");
        bytes32 model = keccak256(abi.encode(turn, parent));
        if (_try(operator, abi.encodeCall(registry.recordTurn, (turn, "d", "p", model, parent, "r")))) line = model;
    }

    function setPolicy(bytes32 policy) external {
        if (_try(address(timelock), abi.encodeCall(registry.setPolicy, (policy)))) _policies.push(policy);
    }

    function revoke(uint256 id) external {
        if (_try(ada, abi.encodeCall(registry.revoke, (bytes32(id % 32))))) ++revocations;
    }

    function check() external view {
        vm.assertEq(uint256(registry.nextPlace()), records, "places");
        vm.assertEq(uint256(registry.lastBatch()), batches, "batches");
        vm.assertEq(uint256(registry.lastTurn()), _firstPlaces.length, "turns");
        vm.assertLe(open, 1, "one turn is open at a time");
        vm.assertEq(uint256(registry.policyVersion()), _policies.length, "policies");
        vm.assertEq(registry.head(), line);
        uint64 place;
        for (uint64 t = 1; t <= _firstPlaces.length; ++t) {
            Registry.Turn memory turn = registry.turnOf(t);
            vm.assertEq(uint256(turn.firstPlace), place, "no place twice, none left out");
            vm.assertEq(uint256(turn.policyVersion), _versions[t - 1], "a turn keeps its policy");
            place += turn.records;
        }
        vm.assertEq(uint256(place), records, "records of all turns");
        uint256 revoked;
        for (uint256 i = 0; i < 32; ++i) {
            if (registry.revokedAt(bytes32(i), ada) != 0) ++revoked;
        }
        vm.assertEq(revoked, revocations, "a revocation stays");
    }
}

/// @dev Each campaign checks all promises of its contracts after every act, so that they share its cost.
abstract contract Campaign is DaoFixture {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function _acting() internal view virtual returns (address);

    /// @notice Names the contract whose functions the fuzzer calls.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _acting();
    }

    /// @notice The set-up is not an act.
    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0].addr = _acting();
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = DaoFixture.setUp.selector;
    }
}

contract MoneyAndPowerInvariants is Campaign {
    Actor private _actor;

    function setUp() public override {
        _actor = new Actor();
        _actor.setUp();
    }

    function _acting() internal view override returns (address) {
        return address(_actor);
    }

    function invariant_money_bonds_supply_and_votes_add_up() public view {
        _actor.check();
    }

    /// @notice The acts must come about, or the promises above would hold of nothing.
    function test_the_actor_reaches_every_act() public {
        (Rewards rewards_, Bonds bonds_, DaoToken daoToken_) = _actor.parts();
        _actor.bond(5e6, true);
        _actor.bond(5e6, false);
        _actor.fund(1, 100e6 - 1);
        _actor.post(40e6, 100, 30, 1, 500);
        _actor.dispute(0);
        _actor.resolve(true);
        vm.assertEq(uint256(rewards_.lastTurn()), 0);
        _actor.post(40e6, 100, 30, 1, 500);
        vm.warp(START + WINDOW);
        _actor.finalize();
        vm.assertEq(uint256(rewards_.finalTurn()), 1);
        _actor.claim(1, true);
        _actor.claim(1, false);
        _actor.claimTokens(1, true);
        _actor.settle(1, 0, false);
        _actor.settle(1, 1, true);
        _actor.withdraw(0);
        _actor.takeBack(1, 0);
        _actor.delegate(1, 2);
        _actor.move(0, 2, 5);
        vm.assertLt(0, _actor.paidOut(), "something was paid");
        vm.assertLt(FOUNDERS, daoToken_.totalSupply(), "something was minted");
        vm.assertEq(_actor.slashed(), 1000);
        _actor.bond(7, true);
        _actor.wait(0);
        _actor.reclaim(3, true);
        vm.assertEq(bonds_.bondOf(bytes32(uint256(3)), ada), 0);
        vm.assertEq(_actor.bonded(), 0);
        _actor.disable(1, 0);
        vm.assertEq(uint256(rewards_.lastTurn()), 0);
        vm.assertEq(_actor.refused(), 0);
        _actor.claim(1, true);
        vm.assertEq(_actor.refused(), 1);
        _actor.check();
    }
}

contract LogInvariants is Campaign {
    Clerk private _clerk;

    function setUp() public override {
        _clerk = new Clerk();
        _clerk.setUp();
    }

    function _acting() internal view override returns (address) {
        return address(_clerk);
    }

    function invariant_the_log_only_grows() public view {
        _clerk.check();
    }
}
