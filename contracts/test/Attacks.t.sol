// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Bonds} from "../src/Bonds.sol";
import {DaoGovernor} from "../src/DaoGovernor.sol";
import {DaoToken} from "../src/DaoToken.sol";
import {Operated} from "../src/Operated.sol";
import {Owned} from "../src/Owned.sol";
import {Rewards} from "../src/Rewards.sol";
import {GovernanceFixture} from "./DaoGovernor.t.sol";

/// @notice Lends the DAO's token to whoever gives it back in the same transaction.
contract FlashLender {
    DaoToken private immutable _token;

    constructor(DaoToken token) {
        _token = token;
    }

    function lend(FlashVoter to, uint256 amount) external {
        _token.transfer(address(to), amount);
        to.use(amount);
        require(_token.balanceOf(address(this)) >= amount, "not given back");
    }
}

/// @notice Borrows tokens, does with them what it was told, and gives them back.
contract FlashVoter {
    DaoToken private immutable _token;
    DaoGovernor private immutable _governor;
    bytes private _act;

    constructor(DaoToken token, DaoGovernor governor) {
        (_token, _governor) = (token, governor);
        token.delegate(address(this));
    }

    function attack(FlashLender lender, uint256 amount, bytes calldata act) external {
        _act = act;
        lender.lend(this, amount);
    }

    function use(uint256 amount) external {
        (bool done, bytes memory reason) = address(_governor).call(_act);
        _token.transfer(msg.sender, amount);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}

/// @notice Attacks that worked on peers, each of which must come to nothing here. Each shows what the attacker does,
/// and what she has of it.
contract AttacksTest is GovernanceFixture {
    bytes32 private constant SALT = keccak256("salt");
    bytes32 private constant RECORD = keccak256("record");
    bytes32 private constant ID = keccak256("contribution");

    // Registering a copied commitment first

    function test_a_copied_commitment_opens_for_its_owner_alone(address thief, bytes32 salt) public view {
        vm.assume(thief != ada);
        bytes32 committed = registry.commitmentOf(ada, SALT, RECORD);
        vm.assertFalse(registry.commitmentOf(thief, SALT, RECORD) == committed);
        vm.assertFalse(registry.commitmentOf(thief, salt, RECORD) == committed);
        vm.assertEq(committed, keccak256(abi.encode(block.chainid, address(registry), ada, SALT, RECORD)));
    }

    /// @dev The thief's batch with ada's contribution comes first and holds the earlier places. Her signature is not
    /// hers, so it is ada's contribution in it: bond, slash, payout and revocation go by the owner's name.
    function test_registering_a_copied_contribution_first_earns_nothing() public {
        vm.prank(operator);
        registry.openTurn(1, "secret");
        vm.prank(operator);
        registry.registerBatch(1, keccak256(abi.encode(ID)), 1, 75);
        _postBond(BOB_KEY, ID, 1e6); // the thief bonds under the copied id
        _postBond(ADA_KEY, ID, 5e6); // which does not keep the owner out
        vm.prank(bob);
        registry.revoke(ID); // nor does his revocation touch hers
        vm.assertEq(uint256(registry.revokedAt(ID, ada)), 0);
        _fund(1, 100e6);
        bytes32 adas = rewards.payoutLeaf(1, ada, 100e6);
        bytes32 slashes = bonds.slashLeaf(1, ID, ada, 0);
        _postRoots(1, adas, slashes, 100e6);
        _finish(1);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claim(1, bob, 100e6, new bytes32[](0));
        vm.expectPartialRevert(Bonds.ProofInvalid.selector);
        bonds.settleBond(1, ID, bob, 0, new bytes32[](0));
        rewards.claim(1, ada, 100e6, new bytes32[](0));
        bonds.settleBond(1, ID, ada, 0, new bytes32[](0));
        vm.assertEq(token.balanceOf(ada), 1_000_100e6);
        vm.assertEq(token.balanceOf(bob), 1_000_000e6 - 1e6); // he waits half a year for his bond
    }

    // Claiming with a lifted leaf

    function test_a_lifted_leaf_pays_its_account(address thief) public {
        vm.assume(thief != ada);
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        _finish(1);
        bytes32 sibling = rewards.payoutLeaf(1, bob, 40e6);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        vm.prank(thief);
        rewards.claim(1, thief, 60e6, _one(sibling));
        vm.prank(thief);
        rewards.claim(1, ada, 60e6, _one(sibling));
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
    }

    function test_an_inner_node_is_no_leaf(address account, uint256 cumulative) public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        _finish(1);
        vm.assume(cumulative != 0);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claim(1, account, cumulative, new bytes32[](0));
    }

    function test_a_payout_leaf_is_no_token_leaf_and_no_slash_leaf() public {
        _fund(1, 100e6);
        bytes32 leaf = rewards.payoutLeaf(1, ada, 60e6);
        _postAll(1, leaf, leaf, leaf, 100e6, 60e6);
        _finish(1);
        vm.expectPartialRevert(DaoToken.ProofInvalid.selector);
        daoToken.claim(1, ada, 60e6, new bytes32[](0));
        _postBond(ADA_KEY, ID, 60e6);
        vm.expectPartialRevert(Bonds.ProofInvalid.selector);
        bonds.settleBond(1, ID, ada, 60e6, new bytes32[](0));
    }

    // Replaying in another DAO, or on another chain

    /// @dev The other DAO's operator even posts the very roots of the first.
    function test_a_proof_is_good_for_one_dao_and_one_chain() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        bytes32 payouts = rewards.rootOf(1).payoutRoot;
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        Rewards first = rewards;
        _launch(WINDOW, ROOT_BOND);
        vm.prank(operator);
        token.approve(address(bonds), ROOT_BOND);
        token.drip(address(treasury), 100e6);
        _fund(1, 100e6);
        _postRoots(1, payouts, 0, 100e6);
        _finish(1);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claim(1, ada, 60e6, proof);
        first.finalize(1);
        vm.chainId(1);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        first.claim(1, ada, 60e6, proof);
        vm.chainId(0x726f6461);
        first.claim(1, ada, 60e6, proof);
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
    }

    /// @dev The operator even posts the root of turn 1 again as that of turn 2. A claim then is what turn 1 said, no more.
    function test_a_proof_is_good_for_one_turn() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        bytes32 payouts = rewards.rootOf(1).payoutRoot;
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        _passWindow();
        _postRoots(2, payouts, 0, 0);
        _finish(2);
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claim(2, ada, 60e6, proof);
        rewards.claim(1, ada, 60e6, proof);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NothingToClaim.selector, ada, 60e6, 60e6));
        rewards.claim(2, ada, 60e6, proof);
    }

    function test_a_bond_is_signed_for_one_dao_and_one_chain() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        Bonds first = bonds;
        _launch(WINDOW, ROOT_BOND);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        bonds.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
        vm.chainId(1);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        first.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
        vm.chainId(0x726f6461);
        first.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
        vm.assertEq(first.bondOf(ID, ada), 5e6);
    }

    // A root wrong by one unit

    function _decideNow(address target, bytes memory data) private {
        _decide(target, data);
        _execute(target, data);
    }

    function test_a_root_wrong_by_one_unit_is_disputed_and_taken_away() public {
        _fund(1, 100e6);
        _post(1, 60e6 + 1, 40e6 - 1, 100e6); // one unit of bob's is ada's
        bytes32 recomputed = _pair(rewards.payoutLeaf(1, ada, 60e6), rewards.payoutLeaf(1, bob, 40e6));
        vm.assertFalse(rewards.rootOf(1).payoutRoot == recomputed);
        vm.prank(stranger); // anybody who recomputed it
        rewards.dispute(1, recomputed);
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6 - 1));
        vm.expectRevert(abi.encodeWithSelector(Rewards.UnderDispute.selector, 1, stranger));
        rewards.claim(1, ada, 60e6 + 1, proof);
        _decideNow(address(rewards), abi.encodeCall(rewards.resolve, (1, true)));
        vm.assertEq(bonds.creditOf(stranger), 2 * ROOT_BOND);
        vm.assertEq(rewards.claimed(ada), 0);
        _post(1, 60e6, 40e6, 100e6);
        _finish(1);
        rewards.claim(1, ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        rewards.claim(1, bob, 40e6, _one(rewards.payoutLeaf(1, ada, 60e6)));
        vm.assertEq(token.balanceOf(address(rewards)), 0);
    }

    // A withheld file

    function test_a_root_without_its_file_is_disabled_and_the_last_accepted_one_stays_claimable() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        _passWindow();
        _fund(2, 50e6);
        _post(2, 110e6, 40e6, 50e6); // nobody can get at the file behind publicHash, so nobody can recompute
        _decideNow(address(rewards), abi.encodeCall(rewards.disable, (2)));
        vm.assertEq(bonds.creditOf(address(treasury)), ROOT_BOND);
        bytes32[] memory withheld = _one(rewards.payoutLeaf(2, bob, 40e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 2, 1));
        rewards.claim(2, ada, 110e6, withheld);
        rewards.claim(1, ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        rewards.claim(1, bob, 40e6, _one(rewards.payoutLeaf(1, ada, 60e6)));
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
        vm.assertEq(token.balanceOf(address(rewards)), 50e6); // turn 2's pool waits for an honest root
    }

    function test_even_a_final_root_without_its_file_is_disabled() public {
        _fund(1, 150e6);
        _post(1, 60e6, 40e6, 100e6);
        _passWindow();
        _post(2, 110e6, 40e6, 50e6);
        bytes memory disable = abi.encodeCall(rewards.disable, (2));
        _decide(address(rewards), disable);
        rewards.finalize(2); // before the deed
        _execute(address(rewards), disable);
        vm.assertEq(uint256(rewards.finalTurn()), 1);
        rewards.claim(1, ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
    }

    // Flash-borrowed votes

    function _flash() private returns (FlashLender lender, FlashVoter voter) {
        lender = new FlashLender(daoToken);
        voter = new FlashVoter(daoToken, governor);
        uint256 all = daoToken.balanceOf(founder);
        vm.prank(founder);
        daoToken.transfer(address(lender), all);
    }

    function test_votes_borrowed_for_a_block_have_no_power() public {
        uint256 id = _propose(address(treasury), abi.encodeCall(treasury.pay, (stranger, 1_000_000e6, "theft")));
        (FlashLender lender, FlashVoter voter) = _flash();
        _open(id);
        bytes memory vote = abi.encodeCall(governor.castVote, (id, 1));
        voter.attack(lender, 50_000e18, vote);
        (, uint256 inFavour,) = governor.proposalVotes(id);
        vm.assertEq(inFavour, 0);
        _vote(bob, id, 0);
        _close(id);
        _state(id, IGovernor.ProposalState.Defeated);
    }

    function test_votes_borrowed_at_the_snapshot_and_given_back_have_no_power() public {
        uint256 id = _propose(address(treasury), abi.encodeCall(treasury.pay, (stranger, 1_000_000e6, "theft")));
        (FlashLender lender, FlashVoter voter) = _flash();
        vm.warp(governor.proposalSnapshot(id)); // the very second that counts
        voter.attack(lender, 50_000e18, abi.encodeCall(governor.votingDelay, ()));
        vm.warp(block.timestamp + 1);
        vm.assertEq(daoToken.getPastVotes(address(voter), governor.proposalSnapshot(id)), 0);
    }

    function test_a_borrowed_threshold_proposes_nothing() public {
        (FlashLender lender, FlashVoter voter) = _flash();
        vm.warp(block.timestamp + 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) =
            _calls(address(treasury), abi.encodeCall(treasury.pay, (stranger, 1, "theft")));
        bytes memory proposal = abi.encodeCall(governor.propose, (targets, values, datas, "why"));
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, address(voter), 0, 1_000e18)
        );
        voter.attack(lender, 50_000e18, proposal);
    }

    // An operator who turns

    function test_an_operator_cannot_pay_himself() public {
        vm.expectRevert(abi.encodeWithSelector(Owned.NotOwner.selector, operator, address(timelock)));
        vm.prank(operator);
        treasury.pay(operator, 1, "mine");
        // What he posts waits, and the DAO can replace him and take it away while it does, or after.
        _fund(1, 100e6);
        bytes32 mine = rewards.payoutLeaf(1, operator, 100e6);
        _postRoots(1, mine, 0, 100e6);
        vm.prank(ada);
        token.approve(address(bonds), ROOT_BOND);
        vm.prank(ada);
        rewards.dispute(1, 0);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Owned.NotOwner.selector, operator, address(timelock)));
        rewards.resolve(1, false);
        _decideNow(address(rewards), abi.encodeCall(rewards.resolve, (1, true)));
        vm.warp(block.timestamp + 1);
        _decideNow(address(registry), abi.encodeCall(registry.setOperator, (ada)));
        vm.expectRevert(abi.encodeWithSelector(Operated.NotOperator.selector, operator, ada));
        _postRoots(1, mine, 0, 100e6);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND);
    }

    /// @dev A root that pays more than it says, accepted because nobody looked, stops at the pool's money.
    function test_a_wrong_root_that_was_accepted_cannot_touch_a_bond_or_the_treasury() public {
        _postBond(BOB_KEY, ID, 500e6);
        _fund(1, 100e6);
        _postRoots(1, rewards.payoutLeaf(1, ada, 600e6), 0, 100e6);
        _finish(1);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        rewards.claim(1, ada, 600e6, new bytes32[](0));
        vm.assertEq(token.balanceOf(address(bonds)), 500e6 + ROOT_BOND);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_000e6 - 100e6);
    }

    // Voting power that nobody earned

    function test_no_root_mints_votes_beyond_the_supply_rule() public {
        bytes32 leaf = daoToken.tokenLeaf(1, stranger, 10 * FOUNDERS);
        _postAll(1, 0, 0, leaf, 0, PER_TURN);
        _finish(1);
        vm.expectPartialRevert(DaoToken.ExceedsSupply.selector);
        daoToken.claim(1, stranger, 10 * FOUNDERS, new bytes32[](0));
        vm.assertEq(daoToken.getVotes(stranger), 0);
    }
}
